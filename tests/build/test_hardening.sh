#!/usr/bin/env bash
# test_hardening.sh BUILD-FOLDER full|loader: how the programs of a build are linked. With "full",
# also that sphynx has a stack protector and checked library calls.
set -u
build=$1 how=$2 bad=0
say() { echo "FAILED: $*"; bad=$((bad + 1)); }

# Folders where the loader looks for libraries: absolute ones only. An empty one means ".".
unsafe_runpath() {
    local entry
    entry=$(readelf -dW "$1" | sed -n 's/.*(R\(UN\)\?PATH).*\[\(.*\)\]$/\2/p')
    [ -n "$entry" ] && printf '%s:' "$entry" | tr ':' '\n' | grep -qv '^/'
}

# The check itself: a program linked as CMake does by default must be caught.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
echo 'int main(void) { return 0; }' >"$scratch/a.c"
for path in /usr/lib: :/usr/lib lib /usr/lib::/lib; do
    cc "$scratch/a.c" -o "$scratch/a" "-Wl,--enable-new-dtags,-rpath,$path" || exit 1
    unsafe_runpath "$scratch/a" || say "this test does not see that the RUNPATH '$path' is unsafe"
done
cc "$scratch/a.c" -o "$scratch/a" -Wl,-rpath,/usr/lib:/lib || exit 1
! unsafe_runpath "$scratch/a" || say "this test objects to absolute folders"

programs=$(find "$build/bin" "$build/tests" -maxdepth 1 -type f -perm -u+x)
for program in $programs; do
    readelf -hW "$program" >/dev/null 2>&1 || continue
    ! unsafe_runpath "$program" || say "$program: RUNPATH with an empty or relative folder"
    readelf -dW "$program" | grep -q 'BIND_NOW\|FLAGS.*NOW' || say "$program: no BIND_NOW"
    readelf -lW "$program" | grep -q GNU_RELRO || say "$program: no RELRO"
done
[ -n "$programs" ] || say "no programs under $build"

if [ "$how" = full ]; then
    symbols=$(readelf -sW --dyn-syms "$build/bin/sphynx")
    grep -q ' __stack_chk_fail' <<<"$symbols" || say "sphynx: no stack protector"
    grep -q ' __\(memcpy\|snprintf\|fprintf\|vsnprintf\)_chk' <<<"$symbols" ||
        say "sphynx: no checked library calls (FORTIFY)"
fi
[ $bad -eq 0 ] && echo "$(wc -w <<<"$programs") programs are linked as they should be"
exit $((bad > 0))
