#!/usr/bin/env bash
# test_runs.sh SPHYNX MAKE_PACK: search, train, eval, predict and bench on tiny data, and on what is
# wrong with it.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2 pack=$OUT/pack.h5
export XDG_CACHE_HOME=$OUT/cache
"$make_pack" "$pack" 16 96 || exit 1

net=(--init-channels 1 --batch 8 --threads 1)
search=("$sphynx" search --data "$pack" "${net[@]}" --no-flip --layers 2 --reduce-loc 3 --order 1)
train=("$sphynx" train --data "$pack" "${net[@]}" --no-flip --layers 3 --reduce-at "0,2"
    --aux-weight 0)

# ---- what they do ----
check "search" 0 "${search[@]}" --epochs 2 --out "$OUT/search" --json
jq -e '.steps == 12 and .genotype.normal[3][1] != null and .val_top1 >= 0' "$OUT/stdout" \
    >"$OUT/jq" ||
    fail "search --json: $(cat "$OUT/stdout")"
check "search again" 1 "${search[@]}" --epochs 2 --out "$OUT/search"
one_line "search again"
check "search longer" 0 "${search[@]}" --epochs 2 --max-steps 3 --out "$OUT/longer"
check "search longer" 0 "${search[@]}" --epochs 2 --max-steps 12 --resume --out "$OUT/longer"
cmp "$OUT/search/result.json" "$OUT/longer/result.json" || fail "a search cut and continued differs"
dear=("${search[@]}" --order 2 --epochs 2 --cost-weight 5) # the last --order counts
check "search by cost" 0 "${dear[@]}" --out "$OUT/dear"
check "search by cost, cut" 0 "${dear[@]}" --max-steps 3 --out "$OUT/dear2"
check "search by cost, on" 0 "${dear[@]}" --max-steps 12 --resume --out "$OUT/dear2"
cmp "$OUT/dear/result.json" "$OUT/dear2/result.json" ||
    fail "a search by cost, cut and continued, differs"
jq -es '[.[].private_cost | select(. != null)] | length == 2 and all(. > 0 and . < 1)' \
    "$OUT/dear/metrics.jsonl" >"$OUT/jq" || fail "no expected private cost at every epoch's end"
check "search, weight 0" 0 "${search[@]}" --epochs 2 --cost-weight 0 --out "$OUT/free"
cmp "$OUT/search/result.json" "$OUT/free/result.json" || fail "cost of weight 0 changes a search"
check "another weight" 1 "${dear[@]}" --cost-weight 6 --resume --out "$OUT/dear"
check "costs without a weight" 2 "${search[@]}" --cost-channels 8 --out "$OUT/never"
check "a link that is none" 2 "${search[@]}" --cost-weight 1 --cost-link fast --out "$OUT/never"
one_line "a link that is none"
check "too wide to be priced" 1 "${search[@]}" --cost-weight 1 --cost-channels 4096 \
    --out "$OUT/wide"
one_line "too wide to be priced"
has stderr '--cost-channels 4096: cells\.[0-9], [a-z0-9_]* of [0-9]* channels' \
    "too wide to be priced"
check "help" 0 "$sphynx" search --help
has stdout 'private cost, itself of 0 to 1' "the weight's help"
check "random search" 0 "$sphynx" search --random --seed 7 --out "$OUT/random"
check "random search" 0 "$sphynx" search --random --seed 7 --out "$OUT/random2"
cmp "$OUT/random/genotype.json" "$OUT/random2/genotype.json" || fail "random genotypes of one seed"
check "search from" 0 "${search[@]}" --epochs 1 --init-from "$OUT/search" --out "$OUT/from"

check "train" 0 "${train[@]}" --epochs 8 --lr 0.05 --genotype "$OUT/random/genotype.json" \
    --out "$OUT/train" --json
jq -e '.top1 > 0.9 and .images == 24 and .relus == 768' "$OUT/stdout" >"$OUT/jq" ||
    fail "train --json: $(cat "$OUT/stdout")"
top1=$(jq .top1 "$OUT/stdout")
for file in model.h5 last.h5; do
    check "eval $file" 0 "$sphynx" eval --model "$OUT/train/$file" --data "$pack" --threads 1 --json
    jq -e ".top1 == $top1 and .top5 == 1 and .images == 24 and .loss > 0" "$OUT/stdout" \
        >"$OUT/jq" ||
        fail "eval $file: $(cat "$OUT/stdout")"
done
check "predict" 0 "$sphynx" predict --model "$OUT/train/model.h5" --data "$pack" --index 2 --json
jq -e '.[0].label == 2 and .[0].classes[0].name == "south-west" and
       ([.[0].classes[].probability] | add) > 0.999' "$OUT/stdout" >"$OUT/jq" ||
    fail "predict: $(cat "$OUT/stdout")"
check "preview" 0 "$sphynx" data preview "$pack" -o "$OUT/grid.png"
check "too large a picture" 1 "$sphynx" predict --model "$OUT/train/model.h5" "$OUT/grid.png"
one_line "too large a picture"
check "train from" 0 "${train[@]}" --epochs 1 --init-from "$OUT/train/model.h5" \
    --genotype "$OUT/random/genotype.json" --out "$OUT/train-from"
check "steps" 0 "${train[@]}" --epochs 2 --schedule step --milestones 1 --label-smoothing 0.1 \
    --cutout 4 --drop-path 0.3 --out "$OUT/steps"
check "time limit" 75 "${train[@]}" --epochs 100000 --time-limit 1 --out "$OUT/limited"
has stderr 'time limit' "time limit"

echo '{"init_channels": 1, "layers": 3, "reduce_at": [0, 2], "relus": 768}' >"$OUT/plan.json"
check "train a plan" 0 "$sphynx" train --data "$pack" --plan "$OUT/plan.json" --epochs 1 --batch 8 \
    --aux-weight 0 --threads 1 --out "$OUT/planned"
echo '{"init_channels": 1, "layers": 3, "reduce_at": [0, 2], "relus": 769}' >"$OUT/plan.json"

# ---- what they refuse: one clear line, nothing left behind ----
refused() { # NAME CODE PATTERN COMMAND...
    local name=$1 code=$2 pattern=$3
    shift 3
    check "$name" "$code" "$@" --out "$OUT/refused"
    one_line "$name"
    has stderr "$pattern" "$name"
    [ ! -e "$OUT/refused" ] || { fail "$name: left a folder" && rm -r "$OUT/refused"; }
}
refused "no data" 2 'data' "$sphynx" search
refused "absent pack" 1 'absent.h5' "$sphynx" train --data "$OUT/absent.h5"
refused "plan of another network" 1 '769 ReLUs, this network has 768' "$sphynx" train \
    --data "$pack" --plan "$OUT/plan.json"
refused "plan and shape" 2 'plan' "${train[@]}" --plan "$OUT/plan.json"
refused "no auxiliary head at this size" 1 'aux-weight 0' "${train[@]}" --aux-weight 0.4
refused "bad schedule" 1 'rate' "${train[@]}" --lr 0
refused "absurd network" 1 'GiB' "$sphynx" search --data "$pack" --init-channels 4096 --layers 64 \
    --batch 48 --threads 1
refused "no batch" 1 'batch' "${train[@]}" --batch 4096
refused "wrong input" 2 'images are' "${train[@]}" --input 3x32x32
refused "init from another network" 1 'param/' "${train[@]}" --init-channels 2 \
    --init-from "$OUT/train/model.h5"
sed 's/skip_connect/warp_drive/' "$OUT/search/genotype.json" >"$OUT/bad.json"
refused "unknown primitive" 1 'bad.json' "${train[@]}" --genotype "$OUT/bad.json"
on_full_disk() (ulimit -f 8 && "$@")
check "full disk" 1 on_full_disk "${train[@]}" --epochs 1 --out "$OUT/full"
one_line "full disk"
has stderr 'full/.*: cannot write' "full disk"
[ -z "$(find "$OUT/full" -name '*.h5*')" ] || fail "full disk: $(ls "$OUT/full")"

cp "$OUT/train/run.json" "$OUT/run-before.json"
check "resume with another option" 1 "${train[@]}" --epochs 9 --lr 0.05 --resume \
    --out "$OUT/train" --genotype "$OUT/random/genotype.json"
one_line "resume with another option"
has stderr 'epochs 8, not 9' "resume with another option"
cmp "$OUT/run-before.json" "$OUT/train/run.json" || fail "a refused resume left its options"
# Numbers are said, and recorded, as they were given.
check "resume at another rate" 1 "${train[@]}" --epochs 8 --lr 0.1 --resume --out "$OUT/train" \
    --genotype "$OUT/random/genotype.json"
has stderr 'began with --lr 0\.05, not 0\.1; ' "resume at another rate"
for record in run.json config.ini; do
    grep -Eq 'lr"?( =|:) 0\.05,?$' "$OUT/train/$record" || fail "$record: another rate"
done
refused "too high a rate" 1 'rate 1000\.0001, expected above 0, at most 1000' "${train[@]}" \
    --lr 1000.0001
# An option that did not exist when a run began counts as its default.
sed '/^  "precision": /d' "$OUT/run-before.json" >"$OUT/train/run.json" # of the first session
jq -e '.config | has("precision") | not' "$OUT/train/run.json" >"$OUT/jq" || fail "no older run"
check "an option newer than the run" 1 "${train[@]}" --epochs 8 --lr 0.05 --resume \
    --out "$OUT/train" --genotype "$OUT/random/genotype.json" --precision f32
has stderr 'precision "tf32", not "f32"' "an option newer than the run"
check "a run older than an option" 0 "${train[@]}" --epochs 8 --lr 0.05 --resume \
    --out "$OUT/train" --genotype "$OUT/random/genotype.json"
jq -e '.device == "cpu"' "$OUT/train/result.json" >"$OUT/jq" || fail "result.json: no device"
for file in run.json result.json; do
    [ -z "$(tail -c 1 "$OUT/train/$file")" ] || fail "$file: its last line does not end"
done

# Weights that grow a thousandfold a step are infinite before long: the run ends, in a step, where a
# checkpoint would take a running variance that is infinite, or where the network is evaluated.
diverge=("${train[@]}" --epochs 30 --lr 1000 --lr-min 1000 --weight-decay 1 --log-every 1)
check "divergence" 1 "${diverge[@]}" --eval-every 30 --out "$OUT/diverged"
one_line "divergence"
good=$(wc -l <"$OUT/diverged/metrics.jsonl")
has stderr "diverged, try a lower --lr: .*step ($((good + 1)): loss .*nan|$good: )" "divergence"
one_line "divergence"
check "divergence, evaluated" 1 "${diverge[@]}" --out "$OUT/evaluated"
one_line "divergence, evaluated"
has stderr 'diverged, try a lower --lr: .*step [0-9]+: ' "divergence, evaluated"

# damage FILE: flips a bit in the middle
damage() {
    local at=$(($(stat -c %s "$1") / 2))
    printf '\377' | cmp -s -n 1 -i 0:$at - "$1" && echo "unlucky byte" && exit 1
    printf '\377' | dd of="$1" bs=1 seek=$at conv=notrunc status=none
}
cp "$OUT/train/model.h5" "$OUT/damaged.h5" && damage "$OUT/damaged.h5"
check "damaged model" 1 "$sphynx" eval --model "$OUT/damaged.h5" --data "$pack"
one_line "damaged model"
check "a search is no model" 1 "$sphynx" eval --model "$OUT/search/last.h5" --data "$pack"
has stderr 'not a final network' "a search is no model"
"$make_pack" "$OUT/big.h5" 32 96
check "images of another size" 1 "$sphynx" eval --model "$OUT/train/model.h5" --data "$OUT/big.h5"
one_line "images of another size"

# A damaged checkpoint gives way to the one before it, with a word about it, and the same end.
damage "$OUT/longer/last.h5"
check "fallback" 0 "${search[@]}" --epochs 2 --max-steps 12 --resume --out "$OUT/longer"
has stderr 'damaged' "fallback"
cmp "$OUT/search/result.json" "$OUT/longer/result.json" ||
    fail "from the fallback it ends otherwise"

# ---- benches ----
for case in "supernet-step --order 1 --layers 2" "supernet-step --order 2 --layers 2" \
    "train-step --layers 3 --reduce-at 0,2 --aux-weight 0" "eval --layers 3 --reduce-at 0,2"; do
    # shellcheck disable=SC2086
    check "bench $case" 0 "$sphynx" bench $case --init-channels 1 --batch 4 --input 1x16x16 \
        --classes 4 --steps 2 --threads 1 --profile --json
    jq -e '.seconds_median >= .seconds_min and .seconds_min > 0 and .peak_rss_bytes > 1e6 and
           .workspace_bytes > 0 and .device_bytes_peak >= .workspace_bytes and .device == "cpu" and
           .threads == 1 and (.profile | length) > 3 and .peaks.gflops > 0 and .peaks.gbytes > 0' \
        "$OUT/stdout" \
        >"$OUT/jq" || fail "bench $case: $(cat "$OUT/stdout")"
done
# A layer of ReLUs of which the last slice is not full; its outputs are checked by the program.
check "bench crypto" 0 "$sphynx" bench crypto --relus 1100 --repeats 1 --json
jq -e '.garbled_ands_per_second > 0 and .evaluated_ands_per_second > 0 and .cots_per_second > 0 and
       .bytes_per_cot == 3.875 and .relu.count == 1100 and .relu.ands == 44 and
       .relu.offline_bytes / 1104 > 1544 and .relu.offline_bytes / 1104 < 1544 + 37 * 4 and
       .relu.online_bytes / 1104 > 37 * 16 and .relu.online_bytes / 1104 < 37 * 16.2 and
       .relu.evaluator_storage_bytes < 1104 * 2400' \
    "$OUT/stdout" >"$OUT/jq" || fail "bench crypto: $(cat "$OUT/stdout")"
check "bench crypto of too few bits" 2 "$sphynx" bench crypto --bits 8 --shift 7
has stderr '7 of 8 bits' "bench crypto of too few bits"
finish
