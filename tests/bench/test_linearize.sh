#!/usr/bin/env bash
# test_linearize.sh PYTHON SPHYNX MAKE_PACK: scripts/bench/linearize on a toy: every row once, exact
# budgets, contrasts that its rows give; what is there is not made again.
. "$(dirname "$0")/../cli/check.sh"
python=$1 sphynx=$2 make_pack=$3
bench=$(cd "$(dirname "$0")/../.." && pwd)/scripts/bench/linearize_measure.py
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
"$make_pack" pack.h5 32 64 || exit 1
toy=("$python" -B "$bench" --toy --data pack.h5 --sphynx "$sphynx" --work work --out out)

check "the plan" 0 "${toy[@]}" --bases 2 --plan
has stderr 'base 2: .* trainings to do' "the plan"
has stderr 'together about' "the plan"
[ ! -e out/metrics.json ] || fail "the plan made something"

check "one base" 0 "${toy[@]}" --bases 1
rows=$(jq '.rows | length' out/metrics.json)
check "two" 0 "${toy[@]}" --bases 2
jq -e --argjson one "$rows" '(.rows | length) == 2 * $one and
    ([.rows[] | [.base, .method, .relu_budget]] | unique | length) == 2 * $one and
    all(.rows[]; .relus == (.relu_budget // 7680) and .interactive_positions >= .relus and
        .top1 >= 0 and .top1 <= 1)' out/metrics.json >jq.out || fail "rows: $(cat out/metrics.json)"
jq -e '([.rows[].method] | unique) as $methods |
    all(("full", "relupruner", "uniform masks", "random masks", "senet", "snl"); IN($methods[]))' \
    out/metrics.json >jq.out || fail "methods: $(cat out/metrics.json)"
jq -e '.task.budgets[0] as $b | . as $all |
    def mean($m): [$all.rows[] | select(.method == $m and .relu_budget == $b).top1] | add / 2;
    [.contrasts[] | select(.name == "relupruner - uniform masks" and .relu_budget == $b)] |
    length == 1 and .[0].pairs == 2 and
    (.[0].difference - 100 * (mean("relupruner") - mean("uniform masks")) | fabs) < 1e-9 and
    .[0].low <= .[0].difference and .[0].difference <= .[0].high and
    .[0].p_holm >= 0 and .[0].p_holm <= 1' out/metrics.json >jq.out ||
    fail "contrasts: $(jq -c .contrasts out/metrics.json)"
has out/README.md '^- Within 2 points of the full network: .*, (met|\*\*missed\*\*)\.$' "the page"
has out/README.md '^\| relupruner \| 768 \| ' "the page"

cp out/metrics.json before.json
jq '.rows |= map(select((.base == 2 and .method == "senet") | not))' before.json >out/metrics.json
check "again" 0 "${toy[@]}" --bases 2
! grep -q '^\$ sphynx train' stderr || fail "what was finished ran again: $(grep '^\$' stderr)"
for part in rows contrasts; do
    for file in before out/metrics; do
        jq -S ".$part | sort_by(tostring)" $file.json >"$(basename $file).$part"
    done
    cmp before.$part metrics.$part || fail "made again, $part differ"
done
cp out/README.md page.md
check "rewritten" 0 "${toy[@]}" --rewrite
cmp page.md out/README.md || fail "rewritten, the page differs"

jq '.task.batch = 9' before.json >out/metrics.json
check "other lengths" 1 "${toy[@]}" --bases 2
has stderr 'is of other lengths; give another --out' "other lengths"
check "no such method" 2 "${toy[@]}" --only none
has stderr "method 'none': there are full, relupruner, " "no such method"
finish
