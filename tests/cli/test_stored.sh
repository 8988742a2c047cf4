#!/usr/bin/env bash
# test_stored.sh SPHYNX MAKE_PICTURES: training and evaluation on stored pictures of many sizes.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pictures=$2
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
"$make_pictures" set 48 || exit 1
check "pack" 0 "$sphynx" data pack imagefolder set -o pack.h5 --store original

# ---- trainings stopped within epochs, every augmentation on; boxes exclude a random shift ----
net=(--data pack.h5 --input 3x16x16 --init-channels 1 --layers 3 --reduce-at "0,2" --aux-weight 0
    --batch 7 --threads 1)
common=("$sphynx" train "${net[@]}" --flip --alternate-flip --colour-jitter 0.4,0.4,0.4 --cutout 3
    --drop-path 0.2 --ema 0.9 --epochs 3 --log-every 1)
train=("${common[@]}" --resized-crop 0.3,1 --crop-ratio 0.6,1.6)
cut_within() { # NAME COMMAND...: 6 steps an epoch
    local name=$1
    shift
    check "$name" 0 "$@" --workers 3 --out "$name"
    for steps in 2 9 16 18; do
        check "$name to step $steps" 0 "$@" --max-steps $steps --resume \
            --workers $((steps % 3 + 1)) --out "$name-cut"
    done
    cmp "$name/result.json" "$name-cut/result.json" || fail "$name: cut, it ends otherwise"
    for run in "$name" "$name-cut"; do
        jq -c 'select(.loss != null) | [.step, .loss, .norm]' "$run/metrics.jsonl" >"$run.steps"
    done
    [ "$(wc -l <"$name.steps")" -eq 18 ] || fail "$name: not 18 steps in the log"
    cmp "$name.steps" "$name-cut.steps" || fail "$name: cut, it takes other steps"
}
cut_within whole "${train[@]}"
check "pack of one size" 0 "$sphynx" data pack imagefolder set -o square.h5 --store raw:16
cut_within shifted "${common[@]}" --data square.h5 --pad-crop 3

# ---- evaluation ----
check "eval" 0 "$sphynx" eval --model whole --data pack.h5 --threads 1 --json
jq -e --slurpfile r whole/result.json '.top1 == $r[0].top1 and .images == 12' stdout >jq.out ||
    fail "eval is not what training measured: $(cat stdout)"
check "export" 0 "$sphynx" export --model whole --data pack.h5 --out deployed.h5 \
    --threads 1
check "eval, integers" 0 "$sphynx" eval --model deployed.h5 --data pack.h5 --threads 1 --json
jq -e '.images == 12' stdout >jq.out || fail "eval, integers: $(cat stdout)"

# ---- what is refused ----
check "sizes differ" 1 "$sphynx" train "${net[@]}" --epochs 1 --out sizes
one_line "sizes differ"
has stderr 'differ in size.*--resized-crop' "sizes differ"
for verb in "train --out sizes --recipe fast" "data batches pack.h5 -o sizes"; do # which network?
    set=(--data pack.h5)
    [[ $verb != *batches* ]] || set=()
    # shellcheck disable=SC2086 # words are meant
    check "no --input: $verb" 2 "$sphynx" $verb "${set[@]}" --resized-crop 0.08,1
    one_line "no --input: $verb"
    has stderr 'differ in size: give --input CxHxW, such as 3x224x224' "no --input: $verb"
done
check "a search needs one size" 1 "$sphynx" search --data pack.h5 --input 3x16x16 --out sizes
one_line "a search needs one size"
has stderr 'differ in size: pack them as one size .data pack --store' "a search needs one size"
check "test images of no crop" 1 "$sphynx" data batches pack.h5 --test --input 3x16x16 -o sizes
has stderr 'of which test images get the centre' "test images of no crop"
check "test images" 0 "$sphynx" data batches pack.h5 --test --input 3x16x16 --resized-crop 0.08,1 \
    --batch 8 -o batches.h5
[ ! -e sizes ] || fail "sizes differ: something is left"
at=$(LC_ALL=C grep -obUaP '\xff\xd8\xff' pack.h5 | LC_ALL=C cut -d: -f1 | sed -n 5p)
printf 'damaged' | dd of=pack.h5 bs=1 seek=$((at + 300)) conv=notrunc status=none
check "a damaged picture" 1 "${train[@]}" --out damaged
one_line "a damaged picture"
has stderr 'pack\.h5.*train/[a-d]/[0-9]*\.(jpg|png)|train/[a-d]/[0-9]*\.(jpg|png).*pack\.h5' \
    "a damaged picture"
finish
