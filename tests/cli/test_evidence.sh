#!/usr/bin/env bash
# test_evidence.sh SPHYNX MAKE_PACK: several seeds of a run, their mean and deviation.
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
check "random seeds" 2 "$sphynx" search --random --seeds 2 --out random
check "no seeds" 2 "${train[@]}" --seeds 0 --out none
check "seeds without end" 2 "${train[@]}" --seeds 2 --seed 9223372036854775807 --out none
[ ! -e none ] || fail "refused seeds left a folder"
finish
