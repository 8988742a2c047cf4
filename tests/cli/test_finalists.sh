#!/usr/bin/env bash
# test_finalists.sh SPHYNX MAKE_PACK: selection by evidence: which images, which seeds, who goes on,
# what the test split is asked, and going on after a kill.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
"$make_pack" pack.h5 16 96 || exit 1
search=("$sphynx" search --data pack.h5 --init-channels 1 --layers 2 --reduce-loc 3 --order 1
    --epochs 1 --batch 8 --threads 1 --no-flip)

refused() { # NAME CODE PATTERN COMMAND...
    check "$1" "$2" "${@:4}"
    has stderr "$3" "$1"
    [ ! -e refused ] || fail "$1: a folder is left"
}

cat >final.ini <<'END'
[train]
batch = 4
epochs = 1
lr = 0.05
aux-weight = 0
drop-path = 0
flip = false
END
select=("${search[@]}" --relu-budget 800 --final-recipe final.ini --final-seeds 2 --set-aside 24
    --extra-random 0)
check "finalists" 0 "${select[@]}" --finalists 6 --out fin --json
has stderr '24 images set aside; 2 searches, 3 random cells .* steps of 4 images, .* hours' \
    "finalists"
jq -e '. as $all |
    def kind($k): [.cells[] | select(.kind == $k) | .name];
    def of($k): . as $r | ($all | kind($k)) as $n | [$r.cells[] | select(.name | IN($n[]))];
    def halved($k; $last): of($k) | sort_by(.loss) | length as $n |
        [.[] | select(.kept) | .name] == [limit(if $last then 1 else ($n + 1) / 2 | floor end;
            .[]) | .name];
    (.images_set_aside | .count == 24 and .per_class == [6, 6, 6, 6] and
        (.images | unique | length) == 24) and
    (kind("searched") | length) == 2 and (kind("random") | length) == 3 and
    .network.relus <= 800 and
    ([.rungs[].steps] == [2, 4, 9]) and ([.rungs[].seed] == [101, 102, 103]) and
    ([.rungs[] | .cells | length] == [6, 4, 3]) and
    ([.rungs[0, 1] | halved("searched"; false), halved("random"; false)] | all) and
    (.rungs[2] | [halved("searched"; true), halved("random"; true)] | all) and
    ([.rungs[0].cells[] | select(.kept) | .name] | sort) ==
        ([.rungs[1].cells[].name] | sort) and
    .seeds == [201, 202] and .test == {images: 24, evaluations: 6} and
    ([.finalists[].kind] == ["searched", "random", "published"]) and
    ([.rungs[2].cells[] | select(.kept) | .name] | sort) == ([.finalists[].name] | sort) and
    ([.contrasts[].name] == ["searched - random", "searched - published"]) and
    (.contrasts[0] | (.difference - ($all.finalists[0].top1_mean - $all.finalists[1].top1_mean) |
        fabs) < 1e-12 and .low <= .difference and .difference <= .high and .p_holm >= .p) and
    .winner == (.finalists | max_by(.top1_mean) | .name) and (.verdict | test("search"))' \
    stdout >jq.out || fail "finalists: $(jq -c 'del(.cells)' stdout)"
cmp stdout fin/finalists.json || fail "finalists.json is not what is printed"
jq -e 'keys_unsorted[-1] == "images_set_aside"' fin/finalists.json >jq.out ||
    fail "finalists.json does not end with its long list"
jq 'del(.cells, .rungs, .images_set_aside.images)' fin/finalists.json >answers.json
jq . fin/result.json | cmp - answers.json || fail "result.json has not the answers"
jq -c --slurpfile r fin/finalists.json -n '$r[0] as $r | $r.cells[] |
    select(.name == $r.winner) | .genotype' >winner.json
jq -c . fin/genotype.json | cmp - winner.json || fail "genotype.json is not the winner's"
[ "$(find fin -name model.h5 | wc -l)" -eq 19 ] || fail "finalists: not 6 + 4 + 3 + 6 trainings"
jq -e '.top1 == null and .images == 0 and .val_images == 24' fin/final/*-202/result.json >jq.out ||
    fail "a training saw the test split"

# ---- cells whose trainings diverge ----
sed 's/^lr = .*/lr = 1000\nweight-decay = 1\nclip = 0/; s/^epochs.*/epochs = 20/' final.ini \
    >high.ini
high=("${select[@]}" --finalists 3 --final-recipe high.ini --out high)
check "all diverge" 1 "${high[@]}"
has stderr 'lost: rung-1/searched-1: .*step' "all diverge"
has stderr 'all searched cells diverged: give a --final-recipe with a lower lr' "all diverge"
check "all diverged" 1 "${high[@]}" --resume
has stderr 'lost: rung-1/searched-1: .*step' "all diverged"
! grep -q 'rung-1/.*, seed' stderr || fail "all diverged: trained again"
cp -r fin lost
rm -r lost/rung-* lost/final
best=$(jq -r '[.rungs[0].cells[] | select(.name | test("searched"))] | min_by(.loss).name' \
    fin/finalists.json)
mkdir -p "lost/rung-1/$best"
cp high/rung-1/searched-1/diverged.json "lost/rung-1/$best/"
check "one is lost" 0 "${select[@]}" --finalists 6 --out lost --resume --json
has stderr "lost: rung-1/$best: " "one is lost"
jq -e --arg best "$best" '([.rungs[0].cells[] | select(.diverged)] | length == 1 and
        (.[0] | .name == $best and .loss == null and .behind == null and .kept == false)) and
    ([.rungs[0].cells[] | select(.name | test("searched")) | select(.kept).name] | length == 1) and
    ([.rungs[] | .cells | length] == [6, 4, 3]) and .test.evaluations == 6' stdout >jq.out ||
    fail "one is lost: $(jq -c .rungs stdout)"
last=$(basename lost/final/searched-*-202)
rm -r "lost/final/$last"
mkdir "lost/final/$last"
cp high/rung-1/searched-1/diverged.json "lost/final/$last/"
check "a last one diverges" 1 "${select[@]}" --finalists 6 --out lost --resume
has stderr "last training diverged.*--final-recipe with a lower lr.*$last" "a last one diverges"

# ---- searches that diverge ----
astray=("${select[@]}" --finalists 3 --lr 1000 --lr-min 1000 --weight-decay 0.99 --clip 0
    --epochs 4 --out astray)
check "all searches diverge" 1 "${astray[@]}"
has stderr 'counted as lost: search-1: diverged, try a lower --lr: ' "all searches diverge"
has stderr 'all searches diverged: give a lower --lr, and another --out' "all searches diverge"
check "all searches diverged" 1 "${astray[@]}" --resume
! grep -q 'search-1, seed' stderr || fail "all searches diverged: searched again"
cp -r fin one-search
rm -r one-search/rung-* one-search/final one-search/search-2/*
cp astray/search-1/diverged.json one-search/search-2/
check "a search is lost" 0 "${select[@]}" --finalists 6 --out one-search --resume --json
has stderr 'counted as lost: search-2: ' "a search is lost"
jq -e '([.cells[] | select(.kind == "searched") | .name] == ["searched-1"]) and
    ([.rungs[] | .cells | length] == [5, 4, 3]) and .test.evaluations == 6' stdout >jq.out ||
    fail "a search is lost: $(jq -c .rungs stdout)"

few=("${select[@]}" --finalists 3)
check "three finalists" 0 "${few[@]}" --out few
# What the images set aside show reaches no search and no training; and the test split, which this
# pack lacks, is not asked for before all networks are trained.
jq -r '.images_set_aside.images[]' few/finalists.json >odd
"$make_pack" odd.h5 16 96 train odd || exit 1
check "no test split" 1 "${few[@]}" --data odd.h5 --out odd-few
has stderr 'no test' "no test split"
[ "$(find odd-few/final -name result.json | wc -l)" -eq 6 ] || fail "no test split: not at the end"
cmp few/search-1/metrics.jsonl odd-few/search-1/metrics.jsonl ||
    fail "a search saw images that are set aside"
for run in rung-1/random-1 final/published-201; do
    jq -c 'select(.train_loss) | .train_loss' few/$run/metrics.jsonl >a
    jq -c 'select(.train_loss) | .train_loss' odd-few/$run/metrics.jsonl >b
    cmp a b || fail "$run saw images that are set aside"
    ! cmp -s few/$run/metrics.jsonl odd-few/$run/metrics.jsonl || fail "$run was judged by others"
done
# killed, and gone on with
for signal in KILL TERM; do
    (
        "${few[@]}" --out killed --resume >stdout 2>stderr &
        for _ in $(seq 600); do
            [ ! -e killed/rung-$([ $signal = KILL ] && echo 1 || echo 3)/published ] || break
            sleep 0.02
        done
        kill -$signal $!
        wait $!
    ) 2>wait.out
done
check "go on with finalists" 0 "${few[@]}" --out killed --resume
cmp few/finalists.json killed/finalists.json || fail "finalists killed and continued differ"
check "finalists are done" 0 "${few[@]}" --out killed --resume
cmp few/finalists.json killed/finalists.json || fail "finalists asked again differ"
check "other finalists" 1 "${few[@]}" --set-aside 16 --out killed --resume
has stderr 'began with --set-aside 24, not 16' "other finalists"
check "finalists again" 1 "${few[@]}" --out few
refused "no budget" 2 'needs --relu-budget' "${search[@]}" --finalists 3 --out refused
refused "budget too small" 1 'smallest .* has [0-9]+' "${search[@]}" --finalists 3 \
    --relu-budget 10 --final-recipe final.ini --set-aside 24 --out refused
refused "two finalists" 1 'expected 3' "${select[@]}" --finalists 2 --out refused
refused "too many aside" 1 '90 of 96 .* expected 2 to 48' "${few[@]}" --set-aside 90 --out refused
refused "seeds and finalists" 2 'finalists' "${few[@]}" --seeds 2 --out refused
refused "another space" 2 'finalists' "${few[@]}" --space relu-ops --out refused
refused "a budget alone" 2 'relu-budget' "${search[@]}" --relu-budget 800 --out refused
refused "no such recipe" 2 'recipe' "${few[@]}" --final-recipe absent.ini --out refused
(cat final.ini && echo 'epoch-steps = 8') >short.ini
check "short epochs" 0 "${few[@]}" --final-recipe short.ini --out short --json
jq -e '[.rungs[].steps] == [1, 2, 4]' stdout >jq.out || fail "short epochs: $(jq -c .rungs stdout)"
sed 's/^batch = 4/batch = 16/' final.ini >large.ini
refused "few steps" 1 'smaller --final-batch' "${few[@]}" --final-recipe large.ini --out refused
refused "few steps by option" 1 'steps of 16 an epoch' "${few[@]}" --final-batch 16 --out refused
refused "a batch of none" 2 'final-batch needs --finalists' "${search[@]}" --final-batch 4 \
    --out refused
finish
