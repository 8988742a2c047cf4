#!/usr/bin/env bash
# test_photos.sh SPHYNX PHOTO_PATCH: the colour path from JPEGs to a network for 224x224 images, at
# toy size: pack, resized crops, the published recipe, resuming within an epoch; and that it learns.
. "$(dirname "$0")/check.sh"
sphynx=$(realpath "$1") photo_patch=$(realpath "$2")
export XDG_CACHE_HOME=$OUT/cache
[ "$("$photo_patch" --list 2>"$OUT/gone" | wc -l)" -ge 4 ] || {
    echo "skipped: needs python3-pil, python3-numpy and lomiri-wallpapers-16.04"
    exit 77
}
cd "$OUT" || exit 1

# ---- the pictures ----
check "pictures" 0 "$photo_patch" set --classes 4 --train 50 --test 40 --size 240 --recolour 0.25
check "the same again" 0 "$photo_patch" again --classes 2 --train 3 --test 2 --size 240 \
    --recolour 0.25
for picture in again/*/*/*.jpg; do
    cmp "$picture" "set/${picture#again/}" || fail "$picture depends on how many there are"
done
check "another seed" 0 "$photo_patch" other --classes 2 --train 1 --test 1 --size 240 --seed 2
if cmp -s other/train/aitzgorri/00000.jpg set/train/aitzgorri/00000.jpg; then
    fail "the seed changes nothing"
fi
check "pictures that are there" 1 "$photo_patch" set --classes 4
check "too many classes" 1 "$photo_patch" many --classes 1000
has stderr 'photographs for 1000 classes' "too many classes"
[ ! -e many ] || fail "something is left of too many classes"

# ---- the network: stem with ReLUs, cells at 28x28, the auxiliary head on the 7x7 map ----
check "pack" 0 "$sphynx" data pack imagefolder set -o pack.h5
check "info" 0 "$sphynx" data info pack.h5 --json
jq -e '.train.images == 200 and .test.images == 160 and .classes == 4' stdout >jq.out ||
    fail "info: $(cat stdout)"
train=("$sphynx" train --data pack.h5 --recipe published --input 3x224x224 --init-channels 4
    --layers 3 --reduce-at "1,2" --epochs 6 --milestones "4,5" --batch 10 --lr 0.03
    --resized-crop "0.4,1")
check "recipe" 0 "${train[@]}" --print-config
for line in "schedule = step" "aux-weight = 0.4" "flip = true" "weight-decay = 0.0003"; do
    grep -qxF -- "$line" stdout || fail "recipe: no line '$line'"
done

# An epoch has 20 steps. Stopped within it, then gone on, or not stopped: the same to the bit.
# (--threads is told because the order of sums depends on it.)
check "straight" 0 "${train[@]}" --out straight --max-steps 26 --threads 2
check "stopped" 0 "${train[@]}" --out run --max-steps 7 --threads 2 --workers 1
check "gone on" 0 "${train[@]}" --out run --resume --max-steps 26 --threads 2 --workers 2
for run in straight run; do
    check "weights of $run" 0 "$sphynx" eval --model $run/last.h5 --data pack.h5 --json
    cp stdout $run.json
done
cmp straight.json run.json || fail "a resumed training gives another network"
check "the rest" 0 "${train[@]}" --out run --resume
jq -es 'map(select(.epoch != null)) | length == 6' run/metrics.jsonl >jq.out ||
    fail "not one line an epoch"

# Chance is 1/4: of 160 pictures 40, with a standard deviation of sqrt(160 * 1/4 * 3/4) = 5.48.
# check-figure: 40 + 5 * sqrt(160 * 1/4 * 3/4) = 67.4
check "accuracy" 0 "$sphynx" eval --model run/model.h5 --data pack.h5 --json
jq -e '.images == 160 and .top1 * .images > 67.4' stdout >jq.out ||
    fail "no better than chance by five standard deviations: $(cat stdout)"
finish
