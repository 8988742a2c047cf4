#!/usr/bin/env bash
# test_gpu_check.sh: what scripts/gpu-check makes of a machine without a GPU, of wrong rows, of
# programs that pass, fail, skip and hang, and of being cut short. The GPU, its tools and the bundle
# are made up.
. "$(dirname "$0")/../cli/check.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
command -v python3 >/dev/null || exit 77

program() { # FILE TEXT
    printf '#!/bin/sh\n%s\n' "$2" >"$OUT/$1"
    chmod +x "$OUT/$1"
}
bundle() { tar -C "$OUT/bundle" -cf "$OUT/bundle.tar" .; }
mkdir -p "$OUT"/{path,bundle/bin,bundle/tests,bundle/lib,bundle/golden,bundle/fashion,out}
program path/nvidia-smi 'exit 9'
# shellcheck disable=SC2016 # for the programs
{
    program path/compute-sanitizer 'for last; do :; done
exec "$last" sanitized'
    program bundle/bin/sphynx 'case $1 in
doctor) echo "{\"gpu\": {\"devices\": [{$MADE_UP}], \"cudnn\": $MADE_UP_CUDNN}}" ;;
bench)
    echo "lanes ${SPX_LANES:-all}, cuDNN ${SPHYNX_CUDNN:-any}" >&2
    echo "{\"seconds_median\": 0.0${SPX_LANES:-}25, \"device_bytes_peak\": 1048576}"
    ;;
*) exit 1 ;;
esac'
    program bundle/tests/test_bad_cuda '[ "$1" != sanitized ] || exit 9
echo "1 is 0, expected 1" >&2
exit 1'
    program bundle/tests/test_norm_sum_cuda '[ "$1" != sanitized ] || exit 9'
    program bundle/tests/test_optim_cuda 'echo "poison ${SPX_POISON:-zero}"'
}
program bundle/bin/make_pack 'exit 1'
program bundle/bin/golden_check 'echo "PASS a"; echo "FAIL b"; exit 1'
program bundle/bin/bench_conv2d 'echo "a row"'
program bundle/tests/test_absent_cuda 'exit 77'
program bundle/tests/test_hanging_cuda "echo \$\$ >>$OUT/hanging
exec sleep 600"
program bundle/tests/test_export 'exit 0'
touch "$OUT/bundle/golden/ops.h5"
echo made-up | tee "$OUT/bundle/arch" >"$OUT/bundle/commit"
bundle
export PATH=$OUT/path:$PATH MADE_UP='"index": 0' MADE_UP_CUDNN='"9.9.9"'
export XDG_CACHE_HOME=$OUT/cache
run=("$root/scripts/gpu-check" --bundle "$OUT/bundle.tar" --out "$OUT/out" --work "$OUT/work")
# kept NAME FILE PATTERN: the archive has it
kept() {
    tar -xzOf "$OUT/out/results.tar.gz" "$2" >"$OUT/kept" 2>"$OUT/stderr" || fail "$1: no $2"
    has kept "$3" "$1"
}

if [ ! -e /dev/nvidiactl ]; then
    check "no GPU" 77 "${run[@]}" first
fi
program path/nvidia-smi 'echo made up'
check "a row that is none" 2 "${run[@]}" op_tests tests
[ ! -e "$OUT/work/home" ] || fail "it began in spite of a wrong row"
MADE_UP='"trouble": 1' check "a GPU of no use" 1 "${run[@]}" op_tests
has out/table.txt '^doctor +FAILED .*cannot use it' "a GPU of no use"

# A program that hangs is cut in time for the others' results to be told and packed.
check "a program that hangs" 1 "${run[@]}" --seconds 15 op_tests
has out/table.txt '^op_tests +FAILED .* 2 passed, 1 failed, 1 unfinished, 1 skipped' "hangs"
kept "hangs" table.txt '^op_tests +FAILED'
kept "hangs" logs/op_tests_test_bad_cuda.log '^1 is 0, expected 1'
check "no time" 1 "${run[@]}" --seconds 8 op_tests
has out/table.txt '^unpacked +no time' "no time"

# Ended from outside, at once or with a word: what there is stays.
for signal in KILL TERM; do
    rm -f "$OUT/hanging"
    "${run[@]}" op_tests >"$OUT/stdout" 2>"$OUT/stderr" &
    pid=$!
    for ((i = 0; i < 600; i++)); do
        [ ! -s "$OUT/hanging" ] || break
        sleep 0.1
    done
    kill -$signal $pid
    wait $pid 2>"$OUT/wait"
    while read -r pid; do kill -KILL "$pid" 2>"$OUT/wait"; done <"$OUT/hanging"
    kept "ended by $signal" table.txt '^cudnn +ok .* 9.9.9'
done
kept "ended by TERM" table.txt 'failed, .* s$'

program bundle/tests/test_hanging_cuda 'exit 0'
bundle
check "sanitizers" 1 "${run[@]}" memcheck initcheck
has out/table.txt '^memcheck +FAILED .* 1 passed, 1 failed.* test_norm_sum_cuda$' "sanitizers"
kept "initcheck" logs/initcheck_test_optim_cuda.log '^poison none'
MADE_UP_CUDNN=null check "no cuDNN" 1 "${run[@]}" step_tf32 lanes
has out/table.txt '^cudnn +FAILED' "no cuDNN"
has out/table.txt '^step_tf32 +ok .* 25.000 ms, 1 MiB' "no cuDNN"
has out/table.txt '^lanes +ok .* 0.50 times that of all' "no cuDNN"
kept "no cuDNN" logs/step_tf32.log '^lanes all, cuDNN none'
check "all is well" 0 "${run[@]}" step_tf32 export bench_conv2d

# Both calls tell of every row, whatever is missing or breaks.
for call in first second; do
    "${run[@]}" --help >"$OUT/help"
    check "call $call" 1 "${run[@]}" $call
    for name in $(sed -n "s/^  $call  *within [0-9]* s: //p" "$OUT/help" | tr -d ,); do
        has out/table.txt "^$name +(ok|absent|FAILED) " "call $call"
    done
    ! grep -q Traceback "$OUT/stderr" || fail "call $call broke"
done
has out/table.txt '^golden_tf32 +FAILED .* 1 files passed, 1 failed' "golden"
finish
