#!/usr/bin/env bash
# test_recipes.sh SPHYNX MAKE_PACK: recipes, who overrules them, and trainings with every knob.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
"$make_pack" pack.h5 16 96 || exit 1

# holds NAME LINE...: the last command printed each of these lines
holds() {
    local name=$1 line
    shift
    for line in "$@"; do
        grep -qxF -- "$line" stdout || fail "$name: no line '$line'"
    done
}
print=("$sphynx" train --print-config)

# ---- what a recipe stands for ----
check "options" 0 "${print[@]}"
cp stdout plain.ini
holds "options" "epochs = 600" "batch = 96" "lr = 0.025" "schedule = cosine" \
    "weight-decay = 0.0003" "clip = 5" "aux-weight = 0.4" "drop-path = 0.2" \
    "pad-crop = 4" "flip = true" "momentum = 0.9"
check "published" 0 "${print[@]}" --recipe published
cmp stdout plain.ini || fail "the published recipe is not what train does without one"
check "published, small images" 0 "${print[@]}" --recipe published --data pack.h5
holds "published, small images" "epochs = 600"
check "published, ImageNet" 0 "${print[@]}" --recipe published --input 3x224x224
holds "published, ImageNet" "epochs = 120" "batch = 768" "lr = 0.1" "schedule = step" \
    "milestones = 30,60,90" "lr-factor = 0.1" "weight-decay = 0.0003" "drop-path = 0" \
    "label-smoothing = 0" "aux-weight = 0.4" "flip = true" "resized-crop = 0.08,1" \
    "test-resize = 0"
check "fast" 0 "${print[@]}" --recipe fast
holds "fast" "schedule = one-cycle" "nesterov = true" "norm-decay = false"
check "fast, ImageNet" 0 "${print[@]}" --recipe fast --input 3x224x224
holds "fast, ImageNet" "resolutions = 160:0,192:75%,224:87.5%" "batch = 1024" "epochs = 16" \
    "resized-crop = 0.08,1" "label-smoothing = 0.1"
check "fast, without boxes" 0 "${print[@]}" --recipe fast --input 3x224x224 --resized-crop "" \
    --resolutions "" --pad-crop 3
holds "fast, without boxes" "pad-crop = 3" "resized-crop = " "resolutions = "
check "as JSON" 0 "${print[@]}" --recipe fast --json
jq -e '.nesterov and .schedule == "one-cycle"' stdout >jq.out || fail "--print-config --json"

# ---- recipe, then --config, then the command line ----
printf '[train]\nepochs = 3\nlr = 1\nbatch = 7\n[search]\nbatch = 9\n' >mine.ini
printf '[train]\nlr = 2\nbatch = 8\n' >project.ini
check "order" 0 "${print[@]}" --batch 5 --config project.ini --recipe mine.ini
holds "order" "epochs = 3" "lr = 2" "batch = 5" "schedule = cosine"
printf '[train]\nrecipe = mine.ini\nlr = 4\n' >named.ini
check "named by a configuration" 0 "${print[@]}" --config named.ini
holds "named by a configuration" "epochs = 3" "lr = 4" "batch = 7"
for way in --config --recipe; do
    check "read back" 0 "${print[@]}" --recipe fast
    cp stdout fast.ini
    check "read back" 0 "${print[@]}" $way fast.ini
    cmp stdout fast.ini || fail "$way: a printed configuration does not read back"
done

# ---- what is refused ----
check "no such recipe" 2 "${print[@]}" --recipe fastest
one_line "no such recipe"
has stderr "'fastest': expected published\|fast\|FILE" "no such recipe"
check "what recipes there are" 0 "$sphynx" train --help
has stdout '224x224 images NAME stands for NAME-imagenet' "what recipes there are"
check "a step above the split" 1 "$sphynx" train --data pack.h5 --batch 768 --out no
one_line "a step above the split"
has stderr '96 images .* and a step takes 768 on 1 rank: .*--batch' "a step above the split"
echo 'speed = 3' >bad.ini
check "unknown key" 2 "${print[@]}" --recipe bad.ini
one_line "unknown key"
has stderr "bad.ini:1: unknown key 'speed'" "unknown key"
echo 'recipe = fast' >bad.ini
check "a recipe of a recipe" 2 "${print[@]}" --recipe bad.ini
check "a warm-up without end" 1 "$sphynx" train --data pack.h5 --epochs 3 --warmup 3 --out no
has stderr 'warm-up' "a warm-up without end"
check "Nesterov of no momentum" 1 "$sphynx" train --data pack.h5 --nesterov --momentum 0 --out no \
    --init-channels 1 --layers 3 --reduce-at "0,2" --aux-weight 0 --batch 8
has stderr 'momentum' "Nesterov of no momentum"
# No nvJPEG without a GPU, and with one this pack has no JPEGs: never the other decoder instead.
check "nvJPEG of nothing" 1 "$sphynx" train --data pack.h5 --decoder nvjpeg --out no \
    --init-channels 1 --layers 3 --reduce-at "0,2" --aux-weight 0 --batch 8
one_line "nvJPEG of nothing"
has stderr 'use .*--decoder cpu' "nvJPEG of nothing"
for bad in "--resized-crop 0.3" "--resized-crop 0.3,x" "--resized-crop 0.3,1,2" \
    "--colour-jitter 1,1" "--test-resize 20" "--warmup x" "--warmup 1%%" "--warmup -1" \
    "--pad-crop 3 --resized-crop 0.3,1" "--crop-ratio 1,2" \
    "--alternate-flip --no-flip"; do
    # shellcheck disable=SC2086 # words are meant
    check "$bad" 2 "$sphynx" train --data pack.h5 $bad --out no
done
for bad in "--resized-crop 1,0.3" "--resized-crop 0.3,7" "--colour-jitter 3,0,0"; do
    # shellcheck disable=SC2086 # words are meant
    check "$bad" 1 "$sphynx" train --data pack.h5 $bad --out no --init-channels 1 --layers 3 \
        --reduce-at "0,2" --aux-weight 0 --batch 8
done
[ ! -e no ] || fail "a refused training left a folder"

# ---- a training cut anywhere goes on to the same bits, whatever is on ----
net=(--data pack.h5 --init-channels 1 --layers 3 --reduce-at "0,2" --threads 1 --batch 8 --epochs 4
    --aux-weight 0 --log-every 1)
at=5
cut() { # NAME OPTION...: after $at of 48 steps
    local name=$1
    shift
    rm -rf whole parts
    check "$name" 0 "$sphynx" train "${net[@]}" "$@" --out whole
    check "$name, cut" 0 "$sphynx" train "${net[@]}" "$@" --max-steps $at --out parts
    check "$name, on" 0 "$sphynx" train "${net[@]}" "$@" --resume --out parts
    cmp whole/result.json parts/result.json || fail "$name: a training cut and continued differs"
    cmp <(tail -n 1 whole/metrics.jsonl) <(tail -n 1 parts/metrics.jsonl) ||
        fail "$name: the last line of the log differs"
}
cut "usual"
cp whole/result.json usual.json
cut "one-cycle, Nesterov, decay, boxes, colours, alternating flip" \
    --schedule one-cycle --warmup 1.5 --nesterov \
    --no-norm-decay --ema 0.9 --lr 0.1 --resized-crop 0.3,1 --crop-ratio 0.5,2 \
    --alternate-flip --colour-jitter 0.4,0.4,0.4 --workers 3
cut "Muon, warm-up" --warmup 1 --muon-lr 0.1 --ema 0.9 --no-norm-decay
cut "short epochs" --epoch-steps 3
jq -e '.steps == 12' whole/result.json >jq.out || fail "short epochs: $(cat whole/result.json)"
check "epochs that are not as long" 0 "$sphynx" train "${net[@]}" --epoch-steps 13 --out as-long
cmp usual.json as-long/result.json || fail "an epoch has more steps than images"
at=17 # in the second stage
cut "resolutions" --resized-crop 0.3,1 --resolutions "8:0,12:1,16:3"
cmp <(jq '.relus, .images' usual.json) <(jq '.relus, .images' whole/result.json) ||
    fail "resolutions: another network"
check "fixed resolution" 0 "$sphynx" train "${net[@]}" --resized-crop 0.3,1 --out fixed
! cmp -s fixed/result.json whole/result.json || fail "--resolutions changes nothing"
for bad in "8:0" "8:1,16:2" "8:0,16:0" "8:0,16:4" "10:0,16:2"; do
    check "resolutions $bad" 1 "$sphynx" train "${net[@]}" --resized-crop 0.3,1 \
        --resolutions "$bad" --out no
    one_line "resolutions $bad"
    cat stderr >>stages
done
has stderr 'even|odd' "a side that reductions do not halve"
for told in "the last is 8x8, expected the input's 16x16 .--input" "must ascend" \
    "first is from epoch 1, expected 0" "last is from epoch 4, but the last epoch is 3"; do
    grep -q "$told" stages || fail "resolutions: nothing says '$told': $(cat stages)"
done
check "a later stage below its cutout" 1 "$sphynx" train "${net[@]}" --resized-crop 0.3,1 \
    --cutout 12 --resolutions "16:0,8:1,16:3" --out no
has stderr 'cutout of 12 pixels in an image of 8x8' "a later stage below its cutout"
[ ! -e no ] || fail "a later stage below its cutout: found out after training"
for bad in "8" "8:0,16:1," "8:0,16:1.5" "8:0,16:%" "8:0,16:nan" "x:0,16:1" "8:0;16:1" "0:0,16:1" \
    "1:0,2:1,3:2,4:3,5:4,6:5,7:6,8:7,16:8"; do
    check "resolutions $bad" 2 "$sphynx" train "${net[@]}" --resized-crop 0.3,1 \
        --resolutions "$bad" --out no
done
# Shares of the epochs are the epochs they come to; of those that come to one, the last counts.
boxes=("$sphynx" train "${net[@]}" --resized-crop 0.3,1)
same() { # NAME EPOCHS OPTIONS OPTIONS
    rm -rf shares epochs
    # shellcheck disable=SC2086 # words are meant
    check "$1" 0 "${boxes[@]}" $3 --epochs "$2" --out shares
    # shellcheck disable=SC2086 # words are meant
    check "$1" 0 "${boxes[@]}" $4 --epochs "$2" --out epochs
    cmp shares/result.json epochs/result.json || fail "$1: shares are not the epochs"
}
same "shares" 4 "--warmup 37.5% --resolutions 8:0,12:30%,16:75%" \
    "--warmup 1.5 --resolutions 8:0,12:1,16:3"
same "shares of one epoch" 1 "--warmup 37.5% --resolutions 8:0,12:30%,16:75%" "--warmup 0.375"
for epochs in 1 3; do
    check "fast of $epochs" 0 "${boxes[@]:0:2}" "${net[@]}" --recipe fast --epochs $epochs \
        --out "fast$epochs"
done
check "resolutions without boxes" 2 "$sphynx" train "${net[@]}" --resolutions 8:0,16:1 --out no
for options in "--resized-crop 0.3,1" "--colour-jitter 0.4,0,0" "--alternate-flip" "--nesterov" \
    "--no-norm-decay" "--warmup 1" "--muon-lr 0.1" "--schedule one-cycle"; do
    # shellcheck disable=SC2086 # words are meant
    check "$options" 0 "$sphynx" train "${net[@]}" $options --out "with$options"
    ! cmp -s usual.json "with$options/result.json" || fail "$options changes nothing"
done

# ---- the best epoch is chosen by held-out images, or by the test split and says so ----
train=("$sphynx" train "${net[@]}" --lr 0.05)
cut "held-out images" --val-fraction 0.25
check "held out" 0 "${train[@]}" --val-fraction 0.25 --out held
has stdout 'on 24 held-out images: top-1 [0-9.]+ %' "held out"
has stdout 'best by the held-out images, epoch [0-3]: .* % on the test split' "held out"
jq -e '.steps == 36 and .images == 24 and .val_images == 24 and .best_by == "val" and
       .best_val_top1 >= .val_top1' held/result.json >jq.out ||
    fail "held out: $(cat held/result.json)"
check "held out, best" 0 "$sphynx" eval --model held/best.h5 --data pack.h5 --threads 1 --json
cmp <(jq .top1 stdout) <(jq .best_top1 held/result.json) ||
    fail "best_top1 is not what best.h5 gives on the test split"
jq -se '[.[] | select(has("epoch"))] as $e | ($e | length) == 4 and all($e[]; has("val_top1") and
        (has("test_top1") | not))' held/metrics.jsonl >jq.out || fail "held out: the log"
best=$(jq -s '[.[] | select(has("epoch"))] | max_by([.val_top1, -.epoch]) | .epoch' \
    held/metrics.jsonl)
[ "$best" = "$(jq .best_epoch held/result.json)" ] || fail "best is not the best by held-out images"
check "test in the log" 0 "${train[@]}" --val-fraction 0.25 --test-every 2 --out logged
cmp held/result.json logged/result.json || fail "--test-every changes the result"
jq -se '[.[] | select(has("test_top1")) | .epoch] == [1, 3]' logged/metrics.jsonl >jq.out ||
    fail "--test-every 2: the log"
check "by test" 0 "${train[@]}" --val-fraction 0.25 --select test --out by-test
has stdout 'best by the test split, so flattered' "by test"
jq -e '.best_by == "test" and .val_images == 24' by-test/result.json >jq.out ||
    fail "by test: $(cat by-test/result.json)"
jq -se '[.[] | .test_top1 // 0] | max' by-test/metrics.jsonl | cmp - \
    <(jq .best_top1 by-test/result.json) || fail "by test: not the best of the log"
check "nothing held out" 0 "${train[@]}" --out plain
has stdout 'best.h5: epoch [0-3], chosen by the test split' "nothing held out"
jq -e '.best_by == "test" and (has("val_top1") | not)' plain/result.json >jq.out ||
    fail "nothing held out: $(cat plain/result.json)"
check "choose by what is not there" 2 "${train[@]}" --select val --out no
check "test of the log alone" 2 "${train[@]}" --test-every 2 --out no
check "too many held out" 2 "${train[@]}" --val-fraction 0.95 --out no
check "none held out" 1 "${train[@]}" --val-fraction 0.001 --out no
has stderr 'held out' "none held out"
finish
