#!/usr/bin/env bash
# test_evidence.sh SPHYNX MAKE_PACK: several seeds of a run, their mean and deviation;
# the location search and what takes its result.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
"$make_pack" pack.h5 16 96 || exit 1

net=(--init-channels 1 --batch 8 --threads 1 --no-flip --data pack.h5)
search=("$sphynx" search "${net[@]}" --layers 2 --reduce-loc 3 --order 1 --epochs 1)
train=("$sphynx" train "${net[@]}" --layers 3 --reduce-at "0,2" --aux-weight 0 --epochs 2)

# ---- several seeds ----
check "three seeds" 0 "${train[@]}" --seeds 3 --seed 5 --out seeds --json
jq -e '.seeds == [5, 6, 7] and (.runs | length) == 3 and
    ([.runs[].top1] as $x | ($x | add / 3) as $m | (.top1_mean - $m | fabs) < 1e-12 and
     (.top1_std - ([$x[] | (. - $m) * (. - $m)] | add / 2 | sqrt) | fabs) < 1e-12)' stdout \
    >jq.out ||
    fail "three seeds: $(cat stdout)"
cmp stdout seeds/result.json || fail "three seeds: result.json says something else"
check "one seed" 0 "${train[@]}" --seed 6 --out alone
for f in result.json model.h5 last.h5 config.ini; do
    cmp alone/$f seeds/seed-6/$f || fail "a seed of several is not the run of that seed: $f"
done
check "cut short" 0 "${train[@]}" --seeds 2 --seed 5 --out cut --max-steps 3
check "go on with more" 0 "${train[@]}" --seeds 3 --seed 5 --out cut --resume
has stdout 'top-1: mean [0-9.]+ %, standard deviation [0-9.]+ % over 3 seeds' "go on"
cmp cut/result.json seeds/result.json || fail "seeds cut and continued differ"
check "again" 1 "${train[@]}" --seeds 3 --seed 5 --out seeds
has stderr 'seed-5: .*--resume' "again"
check "in a run's folder" 1 "${train[@]}" --seeds 2 --out alone
has stderr 'holds a run of one seed' "in a run's folder"
[ ! -e alone/seed-1 ] || fail "something was written into a run's folder"
check "a run among seeds" 1 "${train[@]}" --out seeds
check "time limit of all" 75 "${train[@]}" --seeds 900 --epochs 100000 --out late --time-limit 1
[ ! -e late/seed-2 ] || fail "time limit: a second seed began"
check "searches" 0 "${search[@]}" --seeds 2 --out searches --json
jq -e '.seeds == [1, 2] and (.runs[1].genotype.normal | length) == 4 and .val_top1_std >= 0' \
    stdout >jq.out || fail "searches: $(cat stdout)"
check "random seeds" 0 "$sphynx" search --random --seed 3 --seeds 2 --out random
has stdout '^seed 4: random/seed-4$' "random seeds"
check "one of them" 0 "$sphynx" search --random --seed 4 --out one
has stdout '^one/genotype.json: ' "one of them"
cmp random/seed-4/genotype.json one/genotype.json || fail "a random seed is not its own draw"
jq -e '.seeds == [3, 4] and (.runs | length) == 2 and (has("val_top1_mean") | not)' \
    random/result.json >jq.out || fail "random seeds: $(cat random/result.json)"
check "a cell by its folder" 0 "$sphynx" inspect --genotype one --layers 2 --reduce-at 1 --json
mv stdout by-folder
check "a cell by its file" 0 "$sphynx" inspect --genotype one/genotype.json --layers 2 \
    --reduce-at 1 --json
cmp stdout by-folder || fail "a folder is not its genotype"
check "a folder without a cell" 1 "$sphynx" inspect --genotype random
has stderr 'random/genotype.json' "a folder without a cell"
check "no seeds" 2 "${train[@]}" --seeds 0 --out none
check "seeds without end" 2 "${train[@]}" --seeds 2 --seed 9223372036854775807 --out none
[ ! -e none ] || fail "refused seeds left a folder"

# ---- which cells reduce ----
locate=("$sphynx" locate "${net[@]}" --layers 3 --epochs 2)
check "locate" 0 "${locate[@]}" --out loc --json
jq -e '.networks == 3 and .steps == 12 and .reduce_at == .history[1].reduce_at and
    .pairs == [[0, 1], [0, 2], [1, 2]] and (.beta | length) == 3 and
    (.history | map(.tau)) == [10, 0.1] and .device_bytes > 0' stdout >jq.out ||
    fail "locate: $(cat stdout)"
jq -e --slurpfile r loc/result.json \
    '.beta == $r[0].beta and .beta == .history[1].beta and .genotype.normal != null' \
    loc/location.json >jq.out || fail "location.json: $(cat loc/location.json)"
check "locate, cut short" 0 "${locate[@]}" --out loc2 --max-steps 7
check "locate, continued" 0 "${locate[@]}" --out loc2 --resume
for f in location.json result.json last.h5; do
    cmp loc/$f loc2/$f || fail "a location search cut and continued differs: $f"
done
check "locate the drawn alone" 0 "${locate[@]}" --subsampling 0 --max-steps 2 --out alone0
located=("$sphynx" train "${net[@]}" --layers 3 --aux-weight 0 --epochs 1)
jq '.reduce_at = [1, 2]' loc/location.json >found.json
check "train there" 0 "${located[@]}" --location found.json --out there
check "train there by hand" 0 "${located[@]}" --reduce-at 1,2 --out hand
jq -e '.inputs.location == [1, 2]' there/run.json >jq.out || fail "a run does not tell its location"
for f in result.json metrics.jsonl; do
    cmp there/$f hand/$f || fail "a location is not the cells it names: $f"
done
check "plan there" 0 "$sphynx" plan --relu-budget 1000 --input 1x16x16 --location found.json --json
jq -e '.layers == 3 and .reduce_at == [1, 2] and .relus <= 1000' stdout >jq.out ||
    fail "plan there: $(cat stdout)"
mkdir found
cp found.json found/location.json
mv stdout planned.json
check "plan by the folder" 0 "$sphynx" plan --relu-budget 1000 --input 1x16x16 --location found \
    --json
cmp stdout planned.json || fail "a folder is not its location"
check "plan, two bounds" 2 "$sphynx" plan --relu-budget 1000 --max-layers 4 --location found.json
check "plan too small" 1 "$sphynx" plan --relu-budget 10 --input 1x16x16 --location found.json
one_line "plan too small"
has stderr 'the smallest .* has [0-9]+' "plan too small"
refused() { # NAME CODE PATTERN COMMAND...
    check "$1" "$2" "${@:4}"
    one_line "$1"
    has stderr "$3" "$1"
    [ ! -e refused ] || fail "$1: a folder is left"
}
refused "other layers" 1 'found for --layers 3, not 4' "${located[@]}" --layers 4 \
    --location found.json --out refused
check "draw" 0 "$sphynx" search --random --seed 7 --out drawn
refused "other genotype" 1 'found for another --genotype' "${located[@]}" --location found.json \
    --genotype drawn/genotype.json --out refused
refused "no location" 1 'no location' "${located[@]}" --location loc/run.json --out refused
refused "both" 2 'reduce-at' "${located[@]}" --location found.json --reduce-at 0,1 --out refused
refused "two layers" 2 'layers' "${locate[@]}" --layers 2 --out refused
refused "no temperature" 2 'tau-min' "${locate[@]}" --tau-min 0 --out refused
refused "a rising temperature" 2 'tau-min 20 is above --tau-max 10' "${locate[@]}" --tau-min 20 \
    --out refused
refused "odd sides" 1 '.' "${locate[@]}" --input 1x18x18 --out refused
refused "too large" 1 'bytes|GiB' "${locate[@]}" --init-channels 4096 --layers 10 --out refused

finish
