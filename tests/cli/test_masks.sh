#!/usr/bin/env bash
# test_masks.sh SPHYNX MAKE_PACK: a model whose masks keep some of its ReLUs is one as any other is.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
"$make_pack" pack.h5 8 160 || exit 1

train=("$sphynx" train --data pack.h5 --init-channels 2 --layers 3 --reduce-at "0,2" --aux-weight 0
    --batch 16 --threads 1 --ema 0.9)
says() { # NAME FILTER
    jq -e "$2" stdout >jq.out || fail "$1: $(cat stdout)"
}

check "base" 0 "${train[@]}" --epochs 1 --out base --json
says "base" '.relus == 384 and has("relus_full") == false'
check "mask" 0 "$sphynx" prune --model base --data pack.h5 --granularity pixel --relu-budget 101 \
    --images 64 --batch 32 --threads 1 -o masked.h5

# ---- what says how many ReLUs there are ----
check "inspect" 0 "$sphynx" inspect --model masked.h5 --json
says "inspect" '.relus == 101 and .relus_full == 384 and ([.layers[].relus] | add) == 101 and
    ([.layers[].relus_full] | add) == 384 and ([.layers[] | select(.relus_full > 0)] | length) == 3'
check "inspect's text" 0 "$sphynx" inspect --model masked.h5
has stdout 'Masks keep 101 of 384 ReLUs' "inspect's text"
check "inspect an unmasked one" 0 "$sphynx" inspect --model base --json
says "inspect an unmasked one" '.relus == 384 and has("relus_full") == false'
check "eval" 0 "$sphynx" eval --model masked.h5 --data pack.h5 --json
says "eval" '.relus == 101 and .relus_full == 384'
cp stdout eval.json
check "eval's text" 0 "$sphynx" eval --model masked.h5 --data pack.h5
has stdout 'keep 101 of 384 ReLUs' "eval's text"
check "eval an unmasked one" 0 "$sphynx" eval --model base --data pack.h5 --json
says "eval an unmasked one" '.relus == 384 and has("relus_full") == false'
jq -s '.[0].loss != .[1].loss' eval.json stdout | grep -q true || fail "eval: masks change nothing"


# ---- both measures, and those of the deployed model ----
counts='[.relus, .relus_full, .interactive_positions]'
check "export" 0 "$sphynx" export --model masked.h5 --data pack.h5 --calibration 16 -o deployed.h5 \
    --json
jq -c "$counts" stdout >counts.txt
jq -e '.[0] == 101 and .[1] == 384 and .[2] >= 101 and .[2] <= 384' counts.txt >jq.out ||
    fail "export: $(cat counts.txt)"
for file in masked deployed; do
    check "inspect $file" 0 "$sphynx" inspect --model $file.h5 --json
    jq -c "$counts" stdout | cmp - counts.txt || fail "inspect $file: other counts"
    check "eval $file" 0 "$sphynx" eval --model $file.h5 --data pack.h5 --json
    jq -c "$counts" stdout | cmp - counts.txt || fail "eval $file: other counts"
done

# ---- training goes on with the masks, as it would have without an interruption ----
on=("${train[@]}" --init-from masked.h5 --epochs 4 --save-every 1)
check "go on" 0 "${on[@]}" --out whole --json
says "go on" '.relus == 101 and .relus_full == 384'
check "cut" 0 "${on[@]}" --max-steps 5 --out parts # in mid-epoch: of 10 steps
cp masked.h5 kept.h5
rm masked.h5 # a run that goes on has no need of it
check "resume" 0 "${on[@]}" --resume --out parts
for file in model.h5 best.h5; do
    for run in whole parts; do
        check "eval $run" 0 "$sphynx" eval --model $run/$file --data pack.h5 --json
        cp stdout $run.json
    done
    cmp whole.json parts.json || fail "$file of a resumed training is another"
    says "$file" '.relus == 101'
done
cmp <(jq -S 'del(.config)' whole/result.json) <(jq -S 'del(.config)' parts/result.json) ||
    fail "a resumed training has another result"

# ---- as a teacher ----
check "teach" 0 "${train[@]}" --teacher kept.h5 --epochs 1 --out taught
finish
