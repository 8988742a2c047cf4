#!/usr/bin/env bash
# usage: constant_time_msan.sh BUILD   Runs the cases of constant_time under clang's
# MemorySanitizer: no branch and no address may depend on what they mark as secret. The processor
# itself runs them, so it sees the tables that valgrind does not know. Compiles what the cases need
# by the commands of the folder BUILD. Skipped (77) where clang or its MemorySanitizer is missing.
set -eu
here=$(cd "${0%/*}" && pwd)
database=$1/compile_commands.json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Being an argument is no use (clang 16 on asks else); of fortified copies it knows nothing.
msan="-DSPX_UNDER_MSAN=1 -fsanitize=memory -mllvm -msan-eager-checks=0 -U_FORTIFY_SOURCE
      -D_FORTIFY_SOURCE=0 -g -w"
sodium="generichash_final core_ristretto255_add core_ristretto255_sub scalarmult_ristretto255
        scalarmult_ristretto255_base"

skip() { echo "$1"; exit 77; }
command -v clang >/dev/null || skip "no clang"
command -v jq >/dev/null || skip "no jq"
[ -f "$database" ] || skip "no $database: configure with a preset"
echo 'int main(void) { return 0; }' >"$work/try.c"
# shellcheck disable=SC2086
{ clang $msan "$work/try.c" -o "$work/try" && "$work/try"; } 2>/dev/null ||
    skip "clang has no MemorySanitizer here"

# The rooms' own objects, not those that tests make of the same files.
{
    jq -r '.[].command | select(
        test("CMakeFiles/(constant_time|spx_(base|crypto|lattice|gc|ot|he)(_[a-z0-9]+)?)[.]dir/") or
        test("CMakeFiles/spx_nn_light[^/]*/conv2d_ring/")) |
        sub("^.*? (?=-)"; "") | sub(" -o [^ ]+ "; " ")' "$database"
    echo "-I'$here/../..' -c '$here/constant_time_sodium.c'"
} | awk -v flags="${msan//$'\n'/ }" -v work="$work" \
    -v clang="${CMAKE_C_COMPILER_LAUNCHER-} clang " \
    '{ print clang $0 " " flags " -o " work "/" NR ".o" }' >"$work/commands"
xargs -a "$work/commands" -d '\n' -P 2 -n 1 sh -c || { echo "FAILED: clang"; exit 1; }
ar rcs "$work/all.a" "$work"/*.o
wraps=-Wl,--wrap=he_uniform,--wrap=he_weights_beyond
for name in $sodium; do wraps=$wraps,--wrap=crypto_$name; done
# shellcheck disable=SC2086
clang $msan "$wraps" -o "$work/constant_time" -Wl,-u,main "$work/all.a" -lsodium -lm -lpthread

under() { SPHYNX_ISA=$1 MSAN_OPTIONS=exitcode=9 "$work/constant_time" "$2"; }

seen=" "
for isa in portable aesni avx2 best; do # lowers the AES side's table, the transforms' and the sums'
    tables=$(under $isa tables)
    case "$seen" in *" $tables "*) continue ;; esac
    for leak in leak leak_drawn; do
        status=0
        under $isa $leak >"$work/report" 2>&1 || status=$?
        if [ $status != 9 ] || ! grep -q use-of-uninitialized-value "$work/report"; then
            cat "$work/report"
            echo "FAILED: a branch on a secret was not found: $leak, $tables"
            exit 1
        fi
    done
    for case in ct aes ot gc samplers he ring; do
        under $isa $case || { echo "FAILED: $case, $tables"; exit 1; }
    done
    echo "looked at: $tables"
    seen="$seen$tables "
done
for table in aesni vaes256 vaes512 avx2 ifma; do
    case "$seen" in
    *" $table "*) ;;
    *) echo "not looked at, as this processor or the build has it not: $table" ;;
    esac
done
