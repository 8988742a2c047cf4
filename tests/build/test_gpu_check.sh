#!/usr/bin/env bash
# test_gpu_check.sh: what scripts/gpu-check makes of a machine without a GPU, of wrong stages, and
# of programs that pass, fail, skip and hang. The GPU, its tools and the bundle are made up.
. "$(dirname "$0")/../cli/check.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
command -v python3 >/dev/null || exit 77

program() { # FILE TEXT
    printf '#!/bin/sh\n%s\n' "$2" >"$OUT/$1"
    chmod +x "$OUT/$1"
}
mkdir -p "$OUT"/{path,bundle/bin,bundle/tests,out}
program path/nvidia-smi 'exit 9'
# shellcheck disable=SC2016 # for the program
program path/compute-sanitizer 'for last; do :; done
exec "$last" sanitized'
# shellcheck disable=SC2016
program bundle/bin/sphynx 'case $* in *--json*)
    echo "{\"gpu\": {\"devices\": [{$MADE_UP}]}}" ;;
esac'
program bundle/bin/make_pack 'exit 1'
program bundle/tests/test_good_cuda 'exit 0'
program bundle/tests/test_absent_cuda 'exit 77'
program bundle/tests/test_hanging_cuda 'exec sleep 600'
# shellcheck disable=SC2016
program bundle/tests/test_bad_cuda '[ "$1" != sanitized ] || exit 9
echo "1 is 0, expected 1"
exit 1'
echo made-up | tee "$OUT/bundle/arch" >"$OUT/bundle/commit"
tar -C "$OUT/bundle" -cf "$OUT/bundle.tar" .
export PATH=$OUT/path:$PATH MADE_UP='"index": 0'
run=("$root/scripts/gpu-check" --bundle "$OUT/bundle.tar" --out "$OUT/out" --work "$OUT/work")

if [ ! -e /dev/nvidiactl ]; then
    check "no GPU" 77 "${run[@]}"
fi
program path/nvidia-smi 'echo made up'
check "a stage that is none" 2 "${run[@]}" tests test
[ ! -e "$OUT/work/home" ] || fail "it began in spite of a wrong stage"
MADE_UP='"trouble": 1' check "a GPU of no use" 1 "${run[@]}" tests
has stdout 'cannot use it' "a GPU of no use"

# A program that hangs is cut in time for the others' results to be told.
check "tests" 1 "${run[@]}" --seconds 13 tests
has out/table.txt '^tests +FAILED .* 1 passed, 2 failed, 1 skipped' "tests"
has out/tests.log '^failed test_hanging_cuda \(too long\)' "tests"
has out/tests.log '^1 is 0, expected 1' "tests"
check "sanitize" 1 "${run[@]}" --seconds 24 sanitize
has out/table.txt '^sanitize +FAILED .* 8 runs clean, 4 unfinished, 4 with findings' "sanitize"
check "no time" 1 "${run[@]}" --seconds 2 sanitize
has out/table.txt '^sanitize +no time' "no time"
program bundle/tests/test_bad_cuda 'exit 0'
program bundle/tests/test_hanging_cuda 'exit 0'
tar -C "$OUT/bundle" -cf "$OUT/bundle.tar" .
check "nothing wrong" 0 "${run[@]}" sanitize
finish
