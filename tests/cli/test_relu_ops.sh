#!/usr/bin/env bash
# test_relu_ops.sh SPHYNX MAKE_PACK: cells with ReLUs on their primitives' inputs, from the
# genotype to private evaluation.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
"$make_pack" pack.h5 16 320 || exit 1

holds() { # NAME FILE EXPRESSION
    jq -e "$3" "$2" >jq.out || fail "$1: not $3: $(head -c 400 "$2")"
}

cat >cells.json <<'END'
{"space": "relu-ops",
 "normal": [["van_conv_3x3", 0], ["dil_conv_5x5", 1], ["dil_conv_3x3", 0], ["skip_connect", 2],
            ["van_conv_5x5", 3], ["avg_pool_3x3", 1], ["van_conv_3x3", 3], ["skip_connect", 0]],
 "reduce": [["skip_connect", 0], ["dil_conv_5x5", 1], ["dil_conv_3x3", 0], ["van_conv_5x5", 1],
            ["avg_pool_3x3", 1], ["skip_connect", 2], ["dil_conv_5x5", 4], ["van_conv_3x3", 2]]}
END
net=(--genotype cells.json --init-channels 2 --layers 3 --reduce-at 0,2)
relus=13312 # reducing 2 (2 x 2048 + 3 x 512); normal 4 x 512: three states and the output
check "inspect" 0 "$sphynx" inspect "${net[@]}" --input 1x16x16 --classes 4 --json --dot cells.dot
holds "inspect" stdout ".relus == $relus and ([.layers[].relus] | add) == .relus"
holds "inspect, a layer" stdout '[.layers[] | select(.kind == "normal").relus] == [2048]'
has cells.dot 'normal_0 -> normal_2 .label="ReLU, van_conv_3x3"' "the drawing"
has cells.dot 'reduce_0 -> reduce_2 .label="ReLU, skip_connect /2"' "the drawing"
check "plan" 0 "$sphynx" plan --genotype cells.json --relu-budget 30000 --input 1x16x16 \
    --classes 4 --json
holds "plan" stdout '.relus <= 30000 and .relus > 10000 and ([.audit[].relus] | add) == .relus'

# ---- a network that learns, and all that is done with one ----
train=("$sphynx" train --data pack.h5 "${net[@]}" --batch 16 --threads 1 --no-flip --pad-crop 0
    --lr 0.1 --schedule one-cycle --aux-weight 0)
check "train" 0 "${train[@]}" --epochs 4 --out run --json
holds "it learns" stdout ".top1 > 0.9 and .relus == $relus"
holds "the run's inputs" run/run.json '.inputs.genotype.space == "relu-ops"'
check "cut" 0 "${train[@]}" --epochs 1 --max-steps 7 --out cut
check "gone on with" 0 "${train[@]}" --epochs 1 --out cut --resume
check "whole" 0 "${train[@]}" --epochs 1 --out whole
cmp -s cut/model.h5 whole/model.h5 || fail "a resumed run differs from a whole one"
check "inspect the model" 0 "$sphynx" inspect --model run --json
holds "inspect the model" stdout ".relus == $relus"
check "eval" 0 "$sphynx" eval --model run --data pack.h5 --json
holds "eval" stdout '.top1 > 0.9'
check "predict" 0 "$sphynx" predict --model run --data pack.h5 --index 3 --json
check "export" 0 "$sphynx" export --model run --data pack.h5 -o deployed.h5 --json
holds "export" stdout ".relus == $relus"
check "integers" 0 "$sphynx" eval --model deployed.h5 --data pack.h5 --json
holds "integers" stdout '.top1 > 0.85'
check "bench pi" 0 "$sphynx" bench pi --genotype cells.json --init-channels 1 --layers 2 \
    --reduce-at 0 --input 1x8x8 --classes 4 --json
holds "bench pi" stdout '.matches_integer_executor'
check "prune" 0 "$sphynx" prune --model run --relu-budget 10000 --granularity edge --data pack.h5 \
    -o pruned.h5 --threads 1 --json
holds "prune" stdout '.relus <= 10000 and .relus > 6000'

# ---- searched, drawn ----
search=("$sphynx" search --data pack.h5 --space relu-ops --init-channels 1 --layers 2 --reduce-loc 3
    --batch 16 --threads 1 --epochs 1)
check "search" 0 "${search[@]}" --out found --json
holds "search" stdout '.genotype.space == "relu-ops"'
check "a search cut" 0 "${search[@]}" --out found2 --max-steps 3
check "a search gone on with" 0 "${search[@]}" --out found2 --resume
for f in genotype.json result.json last.h5; do
    cmp found/$f found2/$f || fail "a search cut and continued differs: $f"
done
check "found cells" 0 "$sphynx" inspect --genotype found/genotype.txt --json
check "random cells" 0 "$sphynx" search --random --space relu-ops --out drawn --json
holds "random cells" stdout '.genotype.space == "relu-ops"'
check "no such space" 2 "$sphynx" search --data pack.h5 --space relu --out none
one_line "no such space"
[ ! -e none ] || fail "a refused space left a folder"

# ---- what is no genotype ----
sed 's/dil_conv_5x5/van_dil_conv_5x5/' cells.json >mixed.json
sed 's/relu-ops/sphynx/' cells.json >other.json
for bad in mixed other; do
    check "$bad" 1 "$sphynx" inspect --genotype $bad.json
    one_line "$bad"
    has stderr 'unknown primitive' "$bad"
done
finish
