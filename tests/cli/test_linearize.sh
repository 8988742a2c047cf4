#!/usr/bin/env bash
# test_linearize.sh SPHYNX MAKE_PACK: trainings that drop ReLUs down to a budget, killed and gone on
# with, and what cannot be asked of them.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
"$make_pack" pack.h5 16 96 && "$make_pack" large.h5 20 96 && "$make_pack" other.h5 16 96 stars ||
    exit 1

base=("$sphynx" train --data pack.h5 --batch 8 --threads 1 --epochs 3)
check "a base" 0 "${base[@]}" --layers 3 --reduce-at "0,2" --aux-weight 0 --init-channels 3 \
    --max-steps 14 --out base
full=$(jq .relus base/result.json)

# 9 steps an epoch: one that keeps all, two that fall, two at the budget; then two more
from=("$sphynx" train --data pack.h5 --batch 8 --threads 1 --init-from base --teacher base)
options=(--epochs 5 --linearize-after 1 --linearize-over 0.5 --linearize-every 4
    --fine-tune-epochs 2 --val-fraction 0.2 --log-every 1 --save-every 2 --attention-weight 10)
linearize=("${from[@]}" --linearize relupruner "${options[@]}" --relu-budget 300)

check "algorithms are measured" 0 "${linearize[@]}" --out measured --max-steps 1
cp -r cache same # a checkpoint carries all of the cache
check "linearize" 0 "${linearize[@]}" --out whole --json
jq -se --argjson full "$full" '[.[] | select(.epoch != null).relus] |
    .[0] == $full and .[1] <= $full and .[2] < .[1] and .[3:] == [300, 300, 300, 300]' \
    whole/metrics.jsonl >jq.out || fail "kept: $(grep epoch whole/metrics.jsonl)"
jq -se 'map(select(.epoch == null)) | length == 63 and (.[0:45] | all(has("attention") | not)) and
    (.[45:] | all(.attention > 0)) and all(.distillation != null)' whole/metrics.jsonl >jq.out ||
    fail "the stages' losses"
jq -e '.best_by == "val" and .best_epoch >= 3 and .best_val_loss > 0 and .best_top1 > 0' \
    whole/result.json >jq.out || fail "result: $(cat whole/result.json)"
jq -e --argjson full "$full" '.relus == 300 and .relus_full == $full' whole/result.json >jq.out ||
    fail "result: $(cat whole/result.json)"
check "eval" 0 "$sphynx" eval --model whole/best.h5 --data pack.h5 --threads 1 --json

# same WHOLE OTHER FILE...: besides what every run leaves
same() {
    local file whole=$1 other=$2
    for file in metrics.jsonl result.json model.h5 best.h5 last.h5 "${@:3}"; do
        cmp "$whole/$file" "$other/$file" || fail "$other: another $file"
    done
}
# killed NAME WHOLE "LINES..." COMMAND...: as its log has so many lines; then to the end, as WHOLE
killed() {
    local name=$1 whole=$2 lines pid
    for lines in $3; do
        "${@:4}" --resume --out "$name" >killed.out 2>&1 &
        pid=$!
        for _ in $(seq 3000); do
            [ ! -e "$name/metrics.jsonl" ] ||
                [ "$(wc -l <"$name/metrics.jsonl")" -lt "$lines" ] || break
            kill -0 "$pid" 2>gone || break
            sleep 0.01
        done
        kill -KILL "$pid" 2>gone
        wait "$pid" 2>gone
    done
    check "$name, the rest" 0 "${@:4}" --resume --out "$name"
    same "$whole" "$name"
}

# ---- killed before the first choice, while the number falls, and in the second stage ----
export XDG_CACHE_HOME=$OUT/same
killed killed whole "6 22 50" "${linearize[@]}"
cmp whole/first.h5 killed/first.h5 || fail "killed: another first.h5"
cp base/model.h5 teacher.h5 && mv base away # a run that goes on needs the teacher alone
check "without its base" 0 "$sphynx" train --data pack.h5 --batch 8 --threads 1 --init-from base \
    --teacher teacher.h5 --linearize relupruner "${options[@]}" --relu-budget 300 --resume \
    --out killed
mv away base

# ---- senet: the budget from its second epoch on ----
senet=("${from[@]}" --linearize senet --relu-budget 300 --epochs 3 --fine-tune-epochs 1
    --val-fraction 0.2 --log-every 1 --save-every 2)
check "senet" 0 "${senet[@]}" --out senet
jq -se --argjson full "$full" '[.[] | select(.epoch != null).relus] == [$full, 300, 300, 300]' \
    senet/metrics.jsonl >jq.out || fail "senet: $(grep epoch senet/metrics.jsonl)"
jq -e '.relus == 300 and .best_epoch >= 1' senet/result.json >jq.out ||
    fail "senet: $(cat senet/result.json)"
for steps in 5 13 29; do # with the batches of an epoch under way, and in the second stage
    check "senet, in parts" 0 "${senet[@]}" --resume --max-steps $steps --out parts
done
check "senet, the rest" 0 "${senet[@]}" --resume --out parts
same senet parts
killed killed-senet senet "6 22 34" "${senet[@]}"
check "eval" 0 "$sphynx" eval --model senet/first.h5 --data pack.h5 --threads 1 --json
cp stdout eval.whole # first.h5 has the --max-steps with which it was written
check "eval" 0 "$sphynx" eval --model parts/first.h5 --data pack.h5 --threads 1 --json
cmp stdout eval.whole || fail "senet: another first.h5"

# ---- snl: masks that are trained, until few enough are left or the first stage is over ----
snl=("${from[@]}" --linearize snl --relu-budget 300 --epochs 6 --linearize-after 0
    --fine-tune-epochs 2 --mask-lr 0.05 --mask-penalty 1e-3 --val-fraction 0.2 --log-every 1
    --save-every 2)
check "snl" 0 "${snl[@]}" --out snl
killed killed-snl snl "3 30 62" "${snl[@]}"
jq -se --argjson full "$full" '[.[] | select(.epoch != null)] as $e | [$e[].relus] as $kept |
    ([$kept[] | select(. == 300)] | length) as $set | ($e[-$set - 1].relus <= 300) and
    $set > 2 and $set < 7 and $kept[0] == $full and $kept[-3:] == [300, 300, 300] and
    (all($e[:-$set][]; .lr > 0.005)) and (all($e[-$set:][]; .lr < 0.005))' snl/metrics.jsonl \
    >jq.out || fail "snl: $(grep epoch snl/metrics.jsonl)"
jq -e '.relus == 300 and .best_epoch >= 3' snl/result.json >jq.out ||
    fail "snl: $(cat snl/result.json)"
check "eval" 0 "$sphynx" eval --model snl/best.h5 --data pack.h5 --threads 1 --json
jq -e '.relus == 300' stdout >jq.out || fail "snl: $(cat stdout)"
check "snl, slow masks" 0 "${snl[@]}" --mask-lr 1e-6 --linearize-after 9 --out slow
jq -se --argjson full "$full" '[.[] | select(.epoch != null).relus] == [range(6) | $full] +
    [300, 300]' slow/metrics.jsonl >jq.out || fail "slow masks: $(grep epoch slow/metrics.jsonl)"
check "snl, cut while masks are trained" 0 "${snl[@]}" --max-steps 4 --out cut
jq -e --argjson full "$full" '.relus == $full' cut/result.json >jq.out ||
    fail "snl, cut: $(cat cut/result.json)"
check "a checkpoint with trained masks" 1 "$sphynx" eval --model cut/last.h5 --data pack.h5 \
    --threads 1
one_line "a checkpoint with trained masks"
has stderr 'cut/last.h5: a checkpoint whose masks are being trained' "trained masks"
check "snl of a masked network" 0 "${snl[@]}" --init-from whole/best.h5 --max-steps 1 --out again
jq -e --argjson full "$full" '.relus == $full' again/result.json >jq.out ||
    fail "snl again: $(cat again/result.json)"

# ---- a linearized network is linearized further ----
check "further" 0 "$sphynx" train --data pack.h5 --batch 8 --threads 1 --init-from whole/best.h5 \
    --teacher base --linearize relupruner --relu-budget 1 --epochs 2 --linearize-after 0 \
    --linearize-over 0 --fine-tune-epochs 0 --out further
has stderr 'whole/best.h5: has dropped some of its ReLUs; .*among all' "further"
jq -e '.relus == 1' further/result.json >jq.out || fail "further: $(cat further/result.json)"

# ---- what cannot be ----
refused() { # NAME CODE PATTERN COMMAND...: one line, and no folder
    check "$1" "$2" "${@:4}" --out never
    one_line "$1"
    has stderr "$3" "$1"
    [ ! -e never ] || fail "$1: left a folder"
}
for method in relupruner senet snl; do
    refused "no budget" 2 "needs --relu-budget N" "${from[@]}" --linearize $method
done
refused "budget 0" 2 "needs --relu-budget N" "${from[@]}" --linearize relupruner --relu-budget 0
refused "images of another size" 1 'large.h5: .* 20x20; the model takes 4 of 1 and 16x16' \
    "${linearize[@]}" --data large.h5
refused "a budget above all" 1 "budget of $((full + 1)) ReLUs: .*$full" "${from[@]}" \
    --linearize relupruner --relu-budget $((full + 1))
refused "no base" 2 "--linearize needs --init-from" "${base[@]}" --linearize relupruner \
    --relu-budget 9 --teacher base
refused "no teacher" 2 "--linearize needs --teacher" "${base[@]}" --linearize relupruner \
    --relu-budget 9 --init-from base
refused "a budget alone" 2 "relu-budget needs --linearize" "${base[@]}" --relu-budget 9
refused "a network of its own" 2 "layers means nothing with --linearize" "${linearize[@]}" \
    --layers 3
refused "averages" 2 "ema means nothing with --linearize" "${linearize[@]}" --ema 0.9
refused "no epoch falls" 1 "all ReLUs are kept for 5 epochs, but there are 2; at most 1" \
    "${from[@]}" --linearize relupruner --relu-budget 9 --epochs 2
refused "no epoch to choose by" 1 "senet chooses by the epoch before" "${senet[@]}" \
    --linearize-after 0
first=$("$sphynx" inspect --model base --json | jq -r '.relu_layers[0].relu')
refused "a share too few" 1 "shares to keep: 2, .*one is expected: $first, .*--relus" \
    "${senet[@]}" --keep-shares .1,.2
refused "no share" 1 "shares to keep .*numbers of 0..1" "${senet[@]}" --keep-shares 1,2
refused "another method's" 2 "keep-shares needs --linearize senet" "${linearize[@]}" \
    --keep-shares .1
refused "another method's" 2 "mask-lr needs --linearize snl" "${linearize[@]}" --mask-lr .1
refused "no fine-tuning" 1 "1 or more epochs of fine-tuning are needed" "${snl[@]}" \
    --fine-tune-epochs 0
refused "a number beyond f32" 2 "mask-penalty '1e300': expected a number of at most 3.4e38" \
    "${snl[@]}" --mask-penalty 1e300
refused "masks that stay" 1 "masks at a rate of 0 with .*expected above 0" "${snl[@]}" --mask-lr 0
refused "no such method" 2 "linearize" "${from[@]}" --linearize all --relu-budget 9
check "on others" 0 "$sphynx" train --data other.h5 --batch 8 --threads 1 --epochs 1 --layers 3 \
    --reduce-at "0,2" --aux-weight 0 --init-channels 1 --max-steps 1 --out others
refused "another teacher" 1 "teacher: the pack: .*spots.*stars" "$sphynx" train --data pack.h5 \
    --batch 8 --threads 1 --init-from base --teacher others --linearize relupruner --relu-budget 9

finish
