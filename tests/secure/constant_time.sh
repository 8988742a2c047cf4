#!/usr/bin/env bash
# usage: constant_time.sh PROGRAM   Runs PROGRAM's cases under valgrind: no branch and no address
# may depend on what they mark as secret. Skipped (77) where there is no valgrind.
set -u
program=$1
command -v valgrind >/dev/null || { echo "no valgrind"; exit 77; }

# valgrind knows neither VAES nor AVX-512; those tables come from the same text as AES-NI's.
under() {
    SPHYNX_ISA=$1 valgrind -q --error-exitcode=9 "$program" "$2"
}

for leak in leak leak_drawn; do
    under aesni $leak 2>/dev/null >&2
    case $? in
    9) ;;
    77) echo "built without valgrind's headers"; exit 77 ;;
    *) echo "FAILED: a branch on a secret was not found: $leak"; exit 1 ;;
    esac
done
for isa in portable aesni; do # which has the transforms and sums of AVX2 too
    for case in ct aes ot gc samplers he ring; do
        under $isa $case || { echo "FAILED: $case, $isa"; exit 1; }
    done
done
echo "not looked at, as valgrind cannot run them: vaes256, vaes512, ifma (see constant_time_msan)"
