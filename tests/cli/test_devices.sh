#!/usr/bin/env bash
# test_devices.sh SPHYNX MAKE_PACK: search, train, eval, predict and bench on the device cuda,
# beside the CPU; runs that are cut, killed or moved to another device. Exit code 77 without one.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2 pack=$OUT/pack.h5
export XDG_CACHE_HOME=$OUT/cache
"$make_pack" "$pack" 8 16 || exit 1

tiny=(--init-channels 1 --batch 4 --threads 1)
if ! "$sphynx" bench eval "${tiny[@]}" --layers 3 --reduce-at 0,2 --input 1x8x8 --classes 4 \
    --steps 1 --device cuda --json >"$OUT/stdout" 2>"$OUT/stderr"; then
    grep -q 'no device\|not built in' "$OUT/stderr" && exit 77
    fail "bench: $(cat "$OUT/stderr")"
fi
jq -e '(.device | startswith("cuda:0 ")) and .precision == "tf32" and .device_bytes_peak > 0' \
    "$OUT/stdout" >"$OUT/jq" || fail "bench: $(cat "$OUT/stdout")"
cat "$XDG_CACHE_HOME"/sphynx/tuning-*.txt | grep -q '^cuda ' || fail "bench keeps no choices"

common=(--data "$pack" "${tiny[@]}" --precision f32 --no-flip --log-every 1
    --deterministic)
train=("$sphynx" train "${common[@]}" --layers 3 --reduce-at "0,2" --aux-weight 0 --drop-path 0.2
    --ema 0.9 --epochs 2 --save-every 2)
search=("$sphynx" search "${common[@]}" --layers 2 --reduce-loc 3 --order 2 --epochs 1
    --max-steps 2 --validate-images 4)

# same FOLDER OTHER FILE...
same() {
    local folder=$1 other=$2 file
    shift 2
    for file; do
        cmp "$folder/$file" "$other/$file" || fail "$other: $file differs"
    done
}

# close KEY FOLDER OTHER: a number of the first line of two logs, to 1e-4 of its size: a dozen
# layers of f32 sums, each rounded in another order, leave five digits alone
close() {
    local a b
    a=$(head -1 "$2/metrics.jsonl" | jq "$1") b=$(head -1 "$3/metrics.jsonl" | jq "$1")
    jq -en "($a - $b) | fabs < 1e-4 * ($a | fabs)" >"$OUT/jq" || fail "$1: $a, $b"
}

# ---- whole, cut, killed ----
check "train" 0 "${train[@]}" --device cuda --out "$OUT/whole"
jq -e '.device | startswith("cuda:0 ")' "$OUT/whole/result.json" >"$OUT/jq" || fail "result.json"
jq -e '.sessions[0].device | startswith("cuda:0 ")' "$OUT/whole/run.json" >"$OUT/jq" ||
    fail "run.json"
check "train, cut" 0 "${train[@]}" --device cuda --max-steps 5 --out "$OUT/cut"
check "train, continued" 0 "${train[@]}" --device cuda --max-steps 0 --resume --out "$OUT/cut"
same "$OUT/whole" "$OUT/cut" result.json model.h5
code=1
for ((i = 0; i < 9 && code != 0; i++)); do
    "${train[@]}" --device cuda --resume --out "$OUT/killed" \
        >"$OUT/stdout" 2>"$OUT/stderr" &
    pid=$!
    [ "$i" -ge 3 ] || { sleep "0.$((3 * i + 2))" && kill -TERM "$pid" 2>"$OUT/kill"; }
    code=0
    wait "$pid" 2>"$OUT/wait" || code=$?
    case $code in 0 | 75 | 143) ;; *) fail "killed: exit code $code: $(cat "$OUT/stderr")" ;; esac
done
same "$OUT/whole" "$OUT/killed" result.json metrics.jsonl model.h5 best.h5

# ---- divergence, seen some steps late: what was logged is of good steps, what was saved too ----
# Which overflows first, the loss or a running variance behind a finite one, is up to rounding.
check "divergence" 1 "${train[@]}" --device cuda --epochs 30 --eval-every 30 --lr 1000 \
    --lr-min 1000 --weight-decay 1 --out "$OUT/diverged"
one_line "divergence"
good=$(wc -l <"$OUT/diverged/metrics.jsonl")
diverged="diverged, try a lower --lr: .*step ($((good + 1)): loss .*nan|$good: )"
has stderr "$diverged" "divergence"
check "divergence again" 1 "${train[@]}" --device cuda --epochs 30 --eval-every 30 --lr 1000 \
    --lr-min 1000 --weight-decay 1 --resume --out "$OUT/diverged"
has stderr "$diverged" "divergence again"

# ---- beside the CPU, and moved ----
check "train on the CPU" 0 "${train[@]}" --device cpu --out "$OUT/cpu"
close .loss "$OUT/whole" "$OUT/cpu"
close .norm "$OUT/whole" "$OUT/cpu"
for way in "cpu cuda" "cuda cpu"; do
    read -r from to <<<"$way"
    check "begun on $from" 0 "${train[@]}" --device "$from" --max-steps 5 --out "$OUT/to-$to"
    check "moved to $to" 0 "${train[@]}" --device "$to" --max-steps 7 --resume --out "$OUT/to-$to"
    has stderr 'another device' "moved to $to"
    jq -e ".device | startswith(\"$to\")" "$OUT/to-$to/result.json" >"$OUT/jq" || fail "moved: $to"
done
check "other arithmetic" 1 "${train[@]}" --device cuda --precision bf16 --resume --out "$OUT/whole"
has stderr 'precision' "other arithmetic"

top1=$(jq .top1 "$OUT/whole/result.json")
check "eval" 0 "$sphynx" eval --model "$OUT/whole/model.h5" --data "$pack" --device cuda \
    --precision f32 --batch 4 --json
jq -e "(.top1 - $top1 | fabs) < 1e-9 and .images == 4" "$OUT/stdout" >"$OUT/jq" ||
    fail "eval: $(cat "$OUT/stdout")"
for device in cpu cuda; do
    check "predict on $device" 0 "$sphynx" predict --model "$OUT/whole/model.h5" --data "$pack" \
        --index 2 --device $device --precision f32 --json
    cp "$OUT/stdout" "$OUT/$device.json"
done
jq -en --slurpfile a "$OUT/cpu.json" --slurpfile b "$OUT/cuda.json" \
    '[$a, $b | .[0][0].classes[0]] | .[0].class == .[1].class and
     (.[0].probability - .[1].probability | fabs) < 1e-4' >"$OUT/jq" ||
    fail "predict: $(cat "$OUT/cpu.json" "$OUT/cuda.json")"

# ---- search ----
check "search" 0 "${search[@]}" --device cuda --out "$OUT/search"
check "search on the CPU" 0 "${search[@]}" --device cpu --out "$OUT/search-cpu"
for number in .train_loss .alpha_loss .weight_norm .dw_norm; do
    close $number "$OUT/search" "$OUT/search-cpu"
done
check "search, cut" 0 "${search[@]}" --device cuda --max-steps 1 --out "$OUT/search-cut"
check "search, continued" 0 "${search[@]}" --device cuda --resume --out "$OUT/search-cut"
same "$OUT/search" "$OUT/search-cut" result.json genotype.json
finish
