#!/usr/bin/env bash
# test_pages.sh PYTHON: the pages in results/ are what their metrics.json and NOTES.md make, byte
# for byte; a page changes with its notes; without a file of metrics nothing is written.
. "$(dirname "$0")/../cli/check.sh"
python=$1
root=$(cd "$(dirname "$0")/../.." && pwd)

for page in cpu:compare photo-patch:photo_patch pi:pi_measure loader:loader_measure \
    linear-positions:linear_positions; do
    name=${page%:*} run=("$python" -B "$root/scripts/bench/${page#*:}.py" --rewrite --out)
    mkdir "$OUT/$name"
    cp "$root/results/$name/"{metrics.json,NOTES.md} "$OUT/$name/"
    check "$name" 0 "${run[@]}" "$OUT/$name"
    cmp "$root/results/$name/README.md" "$OUT/$name/README.md" ||
        fail "results/$name/README.md is not what scripts/bench/$name --rewrite writes"
    printf '\n## made_up\nA note.\n' >>"$OUT/$name/NOTES.md"
    check "$name with a note" 0 "${run[@]}" "$OUT/$name"
    has "$name/README.md" '^### made_up$' "$name with a note"
    check "$name of nothing" 1 "${run[@]}" "$OUT/nothing"
    one_line "$name of nothing"
    [ ! -e "$OUT/nothing/README.md" ] || fail "$name of nothing: a page"
done
finish
