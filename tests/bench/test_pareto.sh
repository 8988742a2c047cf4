#!/usr/bin/env bash
# test_pareto.sh PYTHON: the book-keeping of scripts/bench/pareto, with a program that only says
# what a training would: rows are there from the first unit on, breadth first; a call goes on where
# one was cut and makes nothing twice, even where the trainings' folder is lost; a row above its
# budget is refused; contrasts, words and page are those of the numbers.
. "$(dirname "$0")/../cli/check.sh"
python=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$OUT" || exit 1

# Accuracies by method and seed; FAIL=WORD: trainings in a folder with that word end badly.
cat >stub <<'STUB'
#!/usr/bin/env bash
set -eu
echo "$*" >>"$LOG"
verb=$1 out= seed=1 budget=0 all="$*"
while [ $# -gt 0 ]; do
    case $1 in
    --out | -o) out=$2 ;;
    --seed) seed=$2 ;;
    --relu-budget) budget=$2 ;;
    esac
    shift
done
case $verb in
--version) echo stub ;;
plan) echo "{\"init_channels\": 1, \"layers\": $budget, \"reduce_at\": [0, 1], \"macs\": 100}" ;;
search)
    mkdir -p "$out"
    echo '{}' | tee "$out/result.json" >"$out/genotype.json"
    [ "${all#*--finalists}" = "$all" ] || echo '{"finalists": [{"name": "s-1", "kind": "searched"},
        {"name": "r-1", "kind": "random"}], "cells": [{"name": "s-1", "genotype": {}},
        {"name": "r-1", "genotype": {}}]}' >"$out/finalists.json" ;;
train)
    [ -z "${FAIL:-}" ] || [ "${out#*"$FAIL"}" = "$out" ] || { echo "no luck" >&2; exit 1; }
    mkdir -p "$out"
    case $out in
    */searched-*) top1=0.90 ;;
    */linearized-*) top1=0.7$seed ;;
    */random-masks-*) top1=0.7$((seed + 1)) ;;
    *) top1=0.80 ;;
    esac
    relus=${out%/*/run} relus=${relus##*-}
    case $relus in *[!0-9]*) relus=1 ;; esac
    echo "{\"top1\": $top1$seed, \"relus\": $((relus + ${OVER:-0})), \"macs\": 100}" \
        >"$out/result.json" ;;
prune | data | export) [ -z "$out" ] || : >"$out"; echo '{}' ;;
eval) echo '{"top1": 0.5}' ;;
*) phase='{"seconds": 0.25, "bytes_sent": 10, "bytes_received": 20}'
    echo "{\"seconds_median\": 0.001, \"interactive_positions\": 7, \"online\": $phase,
        \"offline\": $phase}" ;;
esac
STUB
chmod +x stub
export LOG=$OUT/log
run=("$python" -B "$root/scripts/bench/pareto_measure.py" --sphynx ./stub --toy)
run+=(--no-pilot --out results --work work --jobs 2)
run+=(--methods 'searched, 2nd order;random;linearized;random masks;finalists;best random')
of() { jq -e "$1" results/metrics.json >jq.out || fail "$2: $(head -c 1500 results/metrics.json)"; }
trained() { grep -c '^train ' log; }

pack() { mkdir -p work/fashion-mnist && : >work/fashion-mnist/data.h5; } # else made of Debian's
pack

check "plan" 0 "${run[@]}" --plan
has stderr '18 units to come, about [0-9.]+ h' "plan"
[ ! -e results/README.md ] || fail "--plan writes a page"

: >log
FAIL=/2/run check "a failing unit" 1 "${run[@]}"
has stderr 'missing: fashion-mnist, random, 5120 ReLUs, unit 2: no luck' "a failing unit"
of '(.rows | length) == 12 and all(.rows[]; .seeds == 1)' "a table of first units"
has results/README.md 'Not finished.*12 of 18 units' "a table of first units"
jq -r '[.rows[] | .relu_budget] | unique | @csv' results/metrics.json | grep -qx '5120,10240' ||
    fail "first units of both budgets"
of 'all(.rows[]; .top1_std == null and .integer_top1_mean == 0.5 and .online_s == 0.25 and
    .online_bytes == 30 and .interactive_positions == 7 and .steps == 40 and .teacher == null and
    .relus <= .relu_budget)' "what a row says"

before=$(trained)
mv work lost # all that metrics.json has is not made again but for what others begin with
pack
check "the rest" 0 "${run[@]}"
of 'all(.rows[]; .seeds == .seeds_planned) and ([.rows[] | .seeds] | add) == 18' "the rest"
has results/README.md 'All units of these rows are there' "the rest"
[ "$(($(trained) - before))" -eq $((6 + 1)) ] || # six units, and the base model of two of them
    fail "the rest: $(($(trained) - before)) trainings"
: >log
cp results/metrics.json whole.json
check "nothing to do" 0 "${run[@]}"
! grep -q '^\(train\|search\|prune\|export\) ' log || fail "made again: $(cat log)"
cmp <(jq 'del(.about)' whole.json) <(jq 'del(.about)' results/metrics.json) || fail "another table"

# searched 0.901, 0.902; random 0.801, 0.802: 10 points apart. Masks: 0.711, 0.722 against 0.721,
# 0.732, so of pairs that do not vary.
of '[.contrasts[] | select(.name == "search over random cells, 5120 ReLUs") | .paired == false and
    (.difference - 0.1 | fabs) < 1e-9 and .low < 0.1 and .high > 0.1 and .p_holm >= .p] == [true]' \
    "Welch"
of '[.contrasts[] | select(.name | startswith("linearized")) | .paired and
    (.difference + 0.01 | fabs) < 1e-9] == [true]' "pairs"
has results/README.md '2nd order 10.00 points above random \(95 % interval .*: a difference' \
    "words of a difference"
has results/README.md 'highest is searched, 2nd order with 90.15 %' "words of the best"
grep -q '<svg' results/pareto.svg || fail "no picture"
cp results/README.md before.md
check "rewrite" 0 "${run[@]}" --rewrite
cmp before.md results/README.md || fail "--rewrite: another page"

rm -rf work results
pack
OVER=1 check "above the budget" 1 "${run[@]}"
has stderr '5121 ReLUs, above the budget of 5120' "above the budget"
mkdir other
echo '{"settings": {"fashion-mnist": {}}, "rows": [], "pilot": []}' >other/metrics.json
check "other settings" 1 "${run[@]}" --out other
has stderr 'is of other settings' "other settings"
check "no such method" 2 "${run[@]}" --methods nonsense
has stderr 'no nonsense; there are searched' "no such method"
finish
