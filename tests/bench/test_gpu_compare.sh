#!/usr/bin/env bash
# test_gpu_compare.sh SPHYNX PYTHON: the comparison on a GPU reads what `sphynx bench` prints, goes
# on without a peer that fails, and writes its results. No GPU is needed: the program measured here
# times a tiny network, whatever it is asked for.
. "$(dirname "$0")/../cli/check.sh"
sphynx=$1 python=$2 compare=$(dirname "$0")/../../scripts/bench/gpu_compare.py
export SPHYNX=$sphynx CUDA_VISIBLE_DEVICES="" # PyTorch, where it is, finds no GPU

program() { # NAME TEXT: a program that runs the text
    printf '#!/bin/sh\n%s\n' "$2" >"$OUT/$1"
    chmod +x "$OUT/$1"
}
# shellcheck disable=SC2016 # for the program
program tiny '[ "$1" != --version ] || exec "$SPHYNX" --version
exec "$SPHYNX" bench eval --init-channels 1 --batch 2 --threads 1 --layers 3 --reduce-at 0,2 \
    --input 1x8x8 --classes 4 --steps 1 --device cpu --json'
program mute 'echo no JSON'
program failing 'exit 3'

run=("$python" -B "$compare" --quick --only train_step_51k --limit 60)
check "compare" 0 "${run[@]}" --sphynx "$OUT/tiny" --out "$OUT/results"
jq -e '.train_step_51k | .sphynx_s > 0 and .sphynx_bytes > 0 and .eager_s == null' \
    "$OUT/results/metrics.json" >"$OUT/jq" || fail "$(cat "$OUT/results/metrics.json")"
grep -q '^| `train_step_51k` | sphynx_tf32 |' "$OUT/results/README.md" || fail "README.md"
cp "$OUT/results/README.md" "$OUT/written"
check "rewrite" 0 "$python" -B "$compare" --rewrite --out "$OUT/results"
cmp "$OUT/written" "$OUT/results/README.md" || fail "rewrite: another page"
for bad in mute failing; do
    check "$bad" 1 "${run[@]}" --sphynx "$OUT/$bad" --out "$OUT/$bad.results"
    [ -s "$OUT/$bad.results/README.md" ] || fail "$bad: no README.md"
done
finish
