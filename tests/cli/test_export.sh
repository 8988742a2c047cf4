#!/usr/bin/env bash
# test_export.sh SPHYNX MAKE_PACK: a small trained network becomes integers that classify alike.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2 pack=$OUT/pack.h5
export XDG_CACHE_HOME=$OUT/cache
"$make_pack" "$pack" 16 96 || exit 1

check "train" 0 "$sphynx" train --data "$pack" --init-channels 2 --layers 3 --reduce-at "0,2" \
    --batch 8 --epochs 8 --lr 0.05 --no-flip --aux-weight 0 --threads 1 --out "$OUT/run" --json
relus=$(jq .relus "$OUT/stdout")
check "eval float" 0 "$sphynx" eval --model "$OUT/run/model.h5" --data "$pack" --threads 1 --json
top1=$(jq .top1 "$OUT/stdout")

# The pack is the run's own; one image of 24 may tip over.
check "export" 0 "$sphynx" export --model "$OUT/run" -o "$OUT/m.h5" --threads 1 --json
jq -e ".relus == $relus and .schema == 2 and (.hash | length) == 64 and .classes == 4 and
       (.relu_layers | length) == 3 and ([.relu_layers[].l] | max) <= 58 and
       ([.segments[].composed] | all) and
       .calibration_images == 96" "$OUT/stdout" >"$OUT/jq" || fail "export: $(cat "$OUT/stdout")"
hash=$(jq -r .hash "$OUT/stdout")
for executor in auto integer; do
    check "eval $executor" 0 "$sphynx" eval --model "$OUT/m.h5" --executor "$executor" \
        --data "$pack" --threads 2 --json
    jq -e "(.top1 - $top1 | fabs) < 1.5 / 24 and .images == 24" "$OUT/stdout" >"$OUT/jq" ||
        fail "eval $executor: $(cat "$OUT/stdout"), float $top1"
done
check "inspect" 0 "$sphynx" inspect --model "$OUT/m.h5" --json
jq -e ".preprocessing == {channels: 1, size: [16, 16], input: [16, 16], mean: [0.3], std: [0.2],
        classes: 4, names: [\"north-west\", \"north-east\", \"south-west\", \"south-east\"],
        dataset: \"spots\", data_hash: .preprocessing.data_hash} and
       (.preprocessing.data_hash | length) == 64 and .hash == \"$hash\" and
       (.exchanges | length) >= 4 and .values[0].kind == \"image\"" \
    "$OUT/stdout" >"$OUT/jq" || fail "inspect: $(cat "$OUT/stdout")"
check "inspect as a table" 0 "$sphynx" inspect --model "$OUT/m.h5"
has stdout "^$relus ReLUs" "inspect as a table"
has stdout '^images   1x16x16; mean 0.3; std 0.2$' "inspect as a table"
check "inspect a model" 0 "$sphynx" inspect --model "$OUT/run/model.h5"
has stdout '^classes  4: north-west, north-east, south-west, south-east$' "inspect a model"
check "inspect a pack" 0 "$sphynx" data info "$pack" --json
hash_of_pack=$(jq -r .hash "$OUT/stdout")
for file in model last; do
    check "inspect $file.h5" 0 "$sphynx" inspect --model "$OUT/run/$file.h5" --json
    jq -e ".preprocessing.data_hash == \"$hash_of_pack\" and .preprocessing.size == [16, 16]" \
        "$OUT/stdout" >"$OUT/jq" || fail "inspect $file.h5: $(cat "$OUT/stdout")"
done

[ "$(stat -c %a "$OUT/m.h5")" = 600 ] || fail "others may read the deployed weights"
touch "$OUT/again.h5" && chmod 664 "$OUT/again.h5"
check "export again" 0 "$sphynx" export --model "$OUT/run/model.h5" -o "$OUT/again.h5" --threads 2
cmp "$OUT/m.h5" "$OUT/again.h5" || fail "threads change the export"
[ "$(stat -c %a "$OUT/again.h5")" = 600 ] || fail "a mode is not narrowed"
check "export a checkpoint, narrow" 0 "$sphynx" export --model "$OUT/run/last.h5" \
    --data "$pack" -o "$OUT/narrow.h5" --most-bits 40 --calibration 8 --threads 1 --json
jq -e '[.relu_layers[].l] | max <= 40' "$OUT/stdout" >"$OUT/jq" ||
    fail "export a checkpoint, narrow: $(cat "$OUT/stdout")"

# ---- what they refuse: one clear line, nothing left behind ----
refused() { # NAME CODE PATTERN COMMAND...
    local name=$1 code=$2 pattern=$3
    shift 3
    check "$name" "$code" "$@"
    one_line "$name"
    has stderr "$pattern" "$name"
    [ ! -e "$OUT/refused.h5" ] || fail "$name: left a file"
}
"$make_pack" "$OUT/big.h5" 32 96
refused "no model" 1 'absent' "$sphynx" export --model "$OUT/absent" -o "$OUT/refused.h5"
refused "an empty folder" 1 'no model.h5' "$sphynx" export --model "$OUT/cache" \
    -o "$OUT/refused.h5"
refused "images of another size" 1 '16x16' "$sphynx" export --model "$OUT/run" \
    --data "$OUT/big.h5" -o "$OUT/refused.h5" --threads 1
refused "a deployed model again" 1 'm.h5' "$sphynx" export --model "$OUT/m.h5" --data "$pack" \
    -o "$OUT/refused.h5"
refused "too few bits" 1 'does not fit' "$sphynx" export --model "$OUT/run" --most-bits 16 \
    -o "$OUT/refused.h5" --threads 1
# What is given in place of what is wanted is named, with the way to it; a stream is read once.
float=$OUT/run/model.h5
for given in "$OUT/run" "$float" "$OUT/run/last.h5"; do
    way="not a deployed model.*sphynx export --model $given -o"
    refused "cost of $given" 1 "$way" "$sphynx" cost --model "$given"
    refused "serve $given" 1 "$way" "$sphynx" serve --model "$given" --state "$OUT/state"
    refused "query held against $given" 1 "$way" "$sphynx" query --connect localhost:1 \
        --data "$pack" --verify "$given" --state "$OUT/state"
    refused "integers of $given" 1 "$way" "$sphynx" eval --executor integer --model "$given" \
        --data "$pack"
done
way='a deployed model; what it was exported from'
refused "export of integers" 1 "$way" "$sphynx" export --model "$OUT/m.h5" -o "$OUT/none.h5"
refused "train from integers" 1 "$way" "$sphynx" train --data "$pack" --init-channels 2 --layers 3 \
    --reduce-at 0,2 --aux-weight 0 --init-from "$OUT/m.h5" --out "$OUT/none"
rm -rf "$OUT/none"
for i in 0 1 5; do # as its integers say, which is nearly what the floats do
    for model in "$float" "$OUT/m.h5"; do
        check "predict by $model" 0 "$sphynx" predict --model "$model" --data "$pack" --index $i \
            --json --threads 1
        mv "$OUT/stdout" "$OUT/predicted-${model##*/}"
    done
    jq -es '[.[][0] | [.label, (.classes | sort_by(.class)[].probability)]] | transpose |
        all((.[0] - .[1] | fabs) < 0.05)' "$OUT"/predicted-* >"$OUT/jq" ||
        fail "predict by integers: $(jq -c . "$OUT"/predicted-*)"
    rm "$OUT"/predicted-*
done
check "eval of a stream" 0 "$sphynx" eval --model <(cat "$OUT/m.h5") --data "$pack" --threads 1
check "inspect a stream" 0 "$sphynx" inspect --model <(cat "$OUT/m.h5")
check "eval of a float stream" 0 "$sphynx" eval --model <(cat "$float") --data "$pack" --threads 1
check "inspect a float stream" 0 "$sphynx" inspect --model <(cat "$float")

# A pack with one split alone: what needs the other says so.
"$make_pack" "$OUT/train.h5" 16 96 train && "$make_pack" "$OUT/test.h5" 16 96 test || exit 1
for lacks in train test; do
    has=$([ $lacks = train ] && echo test || echo train)
    data=(--data "$OUT/$has.h5" --allow-changed)
    for model in "$float" "$OUT/m.h5"; do
        refused "eval without $lacks" 1 "$has.h5: the pack has no $lacks split" "$sphynx" eval \
            --model "$model" "${data[@]}" --split $lacks
    done
    refused "train without $lacks" 1 "the pack has no $lacks split" "$sphynx" train \
        --data "$OUT/$has.h5" --out "$OUT/none"
    refused "preview without $lacks" 1 "the pack has no $lacks split" "$sphynx" data preview \
        "$OUT/$has.h5" --split $lacks -o "$OUT/refused.png"
done
refused "predict without test" 1 'the pack has no test split' "$sphynx" predict --model "$float" \
    --data "$OUT/train.h5" --allow-changed
refused "search without train" 1 'the pack has no train split' "$sphynx" search \
    --data "$OUT/test.h5" --out "$OUT/none"
refused "export without train" 1 'the pack has no train split' "$sphynx" export --model "$float" \
    --data "$OUT/test.h5" --allow-changed -o "$OUT/refused.h5"
[ ! -e "$OUT/none" ] || fail "a refused run left its folder"

refused "a float model in integers" 1 'not a deployed model' "$sphynx" eval --executor integer \
    --model "$OUT/run/model.h5" --data "$pack"
refused "integers in float" 1 'm.h5' "$sphynx" eval --executor float --model "$OUT/m.h5" \
    --data "$pack"
head -c 5000 "$OUT/m.h5" >"$OUT/cut.h5"
refused "a cut file" 1 'cut.h5' "$sphynx" eval --executor integer --model "$OUT/cut.h5" \
    --data "$pack"
refused "images of another size" 1 'the model takes' "$sphynx" eval --model "$OUT/m.h5" \
    --data "$OUT/big.h5"

# ---- pictures of another size: refused, or scaled where a user says so ----
check "a picture" 0 "$sphynx" data preview "$pack" -o "$OUT/grid.png"
refused "a picture of another size" 1 'the model takes 16x16 .--resize' "$sphynx" predict \
    --model "$OUT/run/model.h5" "$OUT/grid.png"
check "a picture scaled" 0 "$sphynx" predict --model "$OUT/run/model.h5" "$OUT/grid.png" --resize
has stdout '[0-9] (north|south)-(west|east)$' "a picture scaled"

# ---- data of another origin: refused naming both, taken where a user says so ----
"$make_pack" "$OUT/other.h5" 16 96 dots
for model in run/model.h5 m.h5; do
    refused "$model on another data set" 1 'is dots, the model.s is spots.*--allow-changed' \
        "$sphynx" eval --model "$OUT/$model" --data "$OUT/other.h5"
    check "$model all the same" 0 "$sphynx" eval --model "$OUT/$model" --data "$OUT/other.h5" \
        --allow-changed
    has stderr 'warning: .*dots' "$model all the same"
done
refused "calibrating on another data set" 1 'dots' "$sphynx" export --model "$OUT/run" \
    --data "$OUT/other.h5" -o "$OUT/refused.h5" --threads 1
refused "predicting of another data set" 1 'dots' "$sphynx" predict --model "$OUT/run/model.h5" \
    --data "$OUT/other.h5"
train() {
    "$sphynx" train --data "$OUT/other.h5" --init-from "$OUT/run/model.h5" --out "$OUT/tuned" \
        --init-channels 2 --layers 3 --reduce-at "0,2" --batch 8 --epochs 1 --aux-weight 0 "$@"
}
check "tuning on another data set" 1 train
has stderr 'dots.*spots' "tuning on another data set"
[ ! -e "$OUT/tuned" ] || fail "tuning on another data set: left a folder"
check "tuning all the same" 0 train --allow-changed
has stderr 'warning: .*dots' "tuning all the same"
"$make_pack" "$OUT/more.h5" 16 128
check "another pack of the same data set" 0 "$sphynx" eval --model "$OUT/m.h5" \
    --data "$OUT/more.h5"
has stderr 'not the pack' "another pack of the same data set"
finish
