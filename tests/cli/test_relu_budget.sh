#!/usr/bin/env bash
# test_relu_budget.sh SPHYNX MAKE_PACK: a search within a ReLU budget, from gates to a trained
# network with the mask that the plan chose.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
"$make_pack" pack.h5 16 320 || exit 1

holds() { # NAME FILE EXPRESSION
    jq -e "$3" "$2" >jq.out || fail "$1: not $3: $(head -c 400 "$2")"
}

# ---- the search: what gates keep comes to the budget ----
search=("$sphynx" search --data pack.h5 --space relu-ops --init-channels 1 --layers 3 --batch 16
    --threads 1 --alpha-lr 0.05 --cost-channels 2 --max-depth 7 --no-flip)
check "search" 0 "${search[@]}" --relu-budget 4000 --epochs 3 --out found --json
holds "search" stdout '.masks | length > 2 and (.[-1].value == 1)'
holds "the genotype's masks" found/genotype.json '.masks | length > 2 and
    ([.[] | .sites == (.normal + .reduce | length)] | all) and ([.[].sites] | . == sort)'
jq -s 'map(select(.epoch != null) | .expected_relus)' found/metrics.jsonl >expected.json
holds "the budget pulls" expected.json '.[0] > .[2] and .[2] < 4400'
holds "a multiplier" stdout '.lambda > 0'
check "text is shown" 0 "$sphynx" inspect --genotype found/genotype.json
for order in 1 2; do
    two=("${search[@]}" --relu-budget 3500 --epochs 1 --order $order --save-every 2)
    check "whole, order $order" 0 "${two[@]}" --out whole$order
    "${two[@]}" --out killed$order >killed.out 2>&1 &
    pid=$!
    for _ in $(seq 600); do
        [ ! -e killed$order/last.h5 ] || break
        sleep 0.02
    done
    kill -KILL $pid 2>gone
    wait $pid 2>gone
    check "after a kill, order $order" 0 "${two[@]}" --out killed$order --resume
    for f in genotype.json result.json last.h5; do
        cmp whole$order/$f killed$order/$f || fail "a search killed and continued differs: $f"
    done
done
check "another budget" 1 "${search[@]}" --relu-budget 3600 --epochs 1 --order 2 --save-every 2 \
    --out whole2 --resume
one_line "another budget"

# ---- the plan ----
shape=(--input 1x16x16 --classes 4)
plan=("$sphynx" plan --genotype cells.json "${shape[@]}")
cat >cells.json <<'END_CELLS'
{"space": "relu-ops",
 "normal": [["van_conv_3x3", 0], ["dil_conv_5x5", 1], ["dil_conv_3x3", 0], ["skip_connect", 2],
            ["van_conv_5x5", 3], ["avg_pool_3x3", 1], ["van_conv_3x3", 3], ["skip_connect", 0]],
 "reduce": [["skip_connect", 0], ["dil_conv_5x5", 1], ["dil_conv_3x3", 0], ["van_conv_5x5", 1],
            ["avg_pool_3x3", 1], ["skip_connect", 2], ["dil_conv_5x5", 4], ["van_conv_3x3", 2]],
 "masks": [{"sites": 2, "value": 0.4, "normal": [3], "reduce": [4]},
           {"sites": 4, "value": 0.7, "normal": [0, 3], "reduce": [1, 4]},
           {"sites": 7, "value": 1.0, "normal": [0, 1, 3], "reduce": [0, 1, 2, 4]}]}
END_CELLS
for budget in 3000 6000 9000 20000 100000; do
    check "plan of $budget" 0 "${plan[@]}" --relu-budget $budget --json
    cp stdout plan$budget.json
    holds "plan of $budget" stdout ".relus <= $budget and ([.audit[].relus] | add) == .relus"
    holds "its mask" stdout '.mask.normal | index(3) != null'
    relus=$(jq .relus stdout)
    check "inspected" 0 "$sphynx" inspect --genotype cells.json --plan plan$budget.json \
        "${shape[@]}" --json
    holds "inspected" stdout ".relus == $relus and ([.layers[].relus] | add) == $relus"
done
jq -s 'map(.mask) | unique | length' plan*.json >masks.json
holds "masks differ" masks.json '. > 1'
check "plan in words" 0 "${plan[@]}" --relu-budget 9000
has stdout 'ReLUs on states kept: normal cells 3; reduction cells 4; and every cell' "the mask"
check "a frontier" 0 "${plan[@]}" --frontier 1000:9000:4000 --json
holds "a frontier" stdout '.[0].impossible != null and .[1].mask != null'
check "too small a budget" 1 "${plan[@]}" --relu-budget 1000
one_line "too small a budget"
has stderr 'sparsest mask\) has 1024' "too small a budget"
jq 'del(.masks)' cells.json >bare.json
check "without masks" 0 "$sphynx" plan --genotype bare.json "${shape[@]}" --relu-budget 9000 --json
holds "without masks" stdout '.mask == null and .relus <= 9000'
check "the search's own" 0 "$sphynx" plan --genotype found/genotype.json "${shape[@]}" \
    --relu-budget 9000 --json
holds "the search's own" stdout '.mask != null and .relus <= 9000'

# ---- a network with that mask ----
train=("$sphynx" train --data pack.h5 --genotype cells.json --plan plan9000.json --batch 16
    --threads 1 --no-flip --pad-crop 0 --lr 0.1 --schedule one-cycle --aux-weight 0 --ema 0.9)
relus=$(jq .relus plan9000.json)
check "train" 0 "${train[@]}" --epochs 2 --out run --json
holds "train" stdout ".relus == $relus and .relus_full > $relus and .top1 > 0.4"
check "its model" 0 "$sphynx" inspect --model run --json
holds "its model" stdout ".relus == $relus"
jq -n --slurpfile m stdout --slurpfile p plan9000.json \
    '[$m[0].layers[].relus] == [$p[0].audit[].relus]' >same.json
holds "its model, layer by layer" same.json '.'
check "eval" 0 "$sphynx" eval --model run --data pack.h5 --json
check "export" 0 "$sphynx" export --model run --data pack.h5 -o deployed.h5 --json
holds "export" stdout ".relus == $relus"
check "cost of the plan" 0 "$sphynx" cost --genotype cells.json --plan plan9000.json "${shape[@]}" \
    --usual-rates --json
holds "cost of the plan" stdout ".relus == $relus"
check "cost" 0 "$sphynx" cost --model deployed.h5 --usual-rates --json
holds "cost" stdout ".relus == $relus"
check "a tiny plan" 0 "$sphynx" plan --genotype cells.json --input 1x8x8 --classes 4 \
    --relu-budget 400 --json
cp stdout tiny.json
check "bench pi" 0 "$sphynx" bench pi --genotype cells.json --plan tiny.json --input 1x8x8 \
    --classes 4 --json
holds "bench pi" stdout '.matches_integer_executor'
check "training whole" 0 "${train[@]}" --epochs 1 --out whole
check "training cut" 0 "${train[@]}" --epochs 1 --max-steps 7 --out cut
check "training gone on with" 0 "${train[@]}" --epochs 1 --out cut --resume
cmp -s cut/model.h5 whole/model.h5 || fail "a resumed run differs from a whole one"
cp plan9000.json other.json
jq '.mask.normal = [0, 3] | del(.relus)' other.json >plan9000.json
check "another mask" 1 "${train[@]}" --epochs 1 --out cut --resume
one_line "another mask"
cp other.json plan9000.json
check "unmasked weights" 0 "$sphynx" train --data pack.h5 --genotype cells.json --threads 1 \
    --init-channels "$(jq .init_channels plan9000.json)" --layers "$(jq .layers plan9000.json)" \
    --reduce-at "$(jq -r '.reduce_at | join(",")' plan9000.json)" --batch 16 --aux-weight 0 \
    --epochs 1 --max-steps 2 --out plain
check "a mask on unmasked weights" 0 "${train[@]}" --epochs 1 --max-steps 2 --init-from plain \
    --out onto --json
holds "a mask on unmasked weights" stdout ".relus == $relus"
check "a mask on masked weights" 2 "${train[@]}" --epochs 1 --init-from run --out none
one_line "a mask on masked weights"

# ---- what cannot be ----
refuse() { # NAME CODE PATTERN COMMAND...
    local name=$1 code=$2 pattern=$3
    shift 3
    check "$name" "$code" "$@"
    one_line "$name"
    has stderr "$pattern" "$name"
}
refuse "a budget of 0" 2 "relu-budget '0': must be in 1.." "${search[@]}" --relu-budget 0 --out none
refuse "a plan of 0" 2 'relu-budget' "${plan[@]}" --relu-budget 0
refuse "below the smallest" 1 'have 1536 to 15360 ReLUs; --cost-channels 1 fits' "${search[@]}" \
    --relu-budget 1535 --out none
refuse "above the largest" 1 'have 1536 to 15360 ReLUs' "${search[@]}" --relu-budget 15361 \
    --max-steps 1 --out none
refuse "the first space" 2 '--relu-budget needs --finalists or --space relu-ops' "$sphynx" search \
    --data pack.h5 --relu-budget 4000 --out none
refuse "random cells" 2 'means nothing with --random' "$sphynx" search --random --space relu-ops \
    --relu-budget 4000 --out none
refuse "a depth without a budget" 2 '--max-depth needs --relu-budget' "$sphynx" search \
    --data pack.h5 --space relu-ops --max-depth 5 --out none
refuse "a plan and a shape" 2 'means nothing with --plan' "$sphynx" inspect --genotype cells.json \
    --plan plan9000.json --layers 3
refuse "a plan of other cells" 1 'no ReLU in this genotype' "$sphynx" inspect --plan plan9000.json \
    "${shape[@]}"
jq '.masks[0].normal = [4]' cells.json >bad.json
refuse "a mask of no site" 1 'mask 0: "normal": state 4 has no ReLU' "$sphynx" plan --genotype \
    bad.json --relu-budget 9000 "${shape[@]}"
jq '.masks[0].sites = 3' cells.json >bad.json
refuse "a mask miscounted" 1 'mask 0: expected "sites": 2' "$sphynx" inspect --genotype bad.json
[ ! -e none ] || fail "what was refused left a folder"
finish
