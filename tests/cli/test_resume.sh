#!/usr/bin/env bash
# test_resume.sh SPHYNX MAKE_PACK: what a run may go on with, and how it is stopped.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
"$make_pack" pack.h5 16 96 && "$make_pack" other.h5 16 97 || exit 1

net=(--init-channels 1 --batch 8 --threads 1 --no-flip)
search=("$sphynx" search "${net[@]}" --layers 2 --reduce-loc 3 --order 1 --epochs 4)
train=("$sphynx" train "${net[@]}" --layers 3 --reduce-at "0,2" --aux-weight 0 --epochs 8)

# ---- a run is told by the contents it was begun with, not by their names ----
check "draw" 0 "$sphynx" search --random --seed 7 --out drawn
check "draw another" 0 "$sphynx" search --random --seed 8 --out drawn2
cp drawn/genotype.json g.json
cp pack.h5 p.h5
check "train" 0 "${train[@]}" --data p.h5 --genotype g.json --max-steps 3 --out run
jq -e '.inputs | (.data | length) == 64 and (.genotype.normal | length) == 4' run/run.json \
    >jq.out || fail "run.json does not tell the contents"

differs() { # OPTION COMMAND...: refused with a line that names the option
    check "another $1" 1 "${@:2}"
    one_line "another $1"
    has stderr "another --$1: .*--allow-changed" "another $1"
}
cp run/run.json before.json
differs data "${train[@]}" --data other.h5 --genotype g.json --resume --out run
cp drawn2/genotype.json g.json
differs genotype "${train[@]}" --data p.h5 --genotype g.json --resume --out run
cmp before.json run/run.json || fail "a refused resume changed the record"
mkdir moved
mv p.h5 moved/q.h5
jq -c . drawn/genotype.json >moved/g.json # the same in other words
check "moved files" 0 "${train[@]}" --data moved/q.h5 --genotype moved/g.json --resume \
    --max-steps 4 --out run
check "another pack, meant" 0 "${train[@]}" --data other.h5 --genotype moved/g.json --resume \
    --allow-changed --max-steps 5 --out run
differs data "${train[@]}" --data pack.h5 --genotype moved/g.json --resume --out run
check "the pack it went on with" 0 "${train[@]}" --data other.h5 --genotype moved/g.json --resume \
    --out run --max-steps 6

echo '{"init_channels": 1, "layers": 3, "reduce_at": [0, 2]}' >plan.json
planned=("$sphynx" train --plan plan.json --data pack.h5 --batch 8 --aux-weight 0 --threads 1
    --epochs 8)
cp run/last.h5 init.h5
check "train a plan" 0 "${planned[@]}" --init-from init.h5 --genotype moved/g.json \
    --max-steps 2 --out planned
echo '{"init_channels": 1, "layers": 3, "reduce_at": [0, 1]}' >plan.json
differs plan "${planned[@]}" --init-from init.h5 --genotype moved/g.json --resume --out planned
echo '{"layers": 3, "reduce_at": [0, 2], "init_channels": 1}' >plan.json
differs init-from "${planned[@]}" --init-from planned/last.h5 --genotype moved/g.json --resume \
    --out planned
rm init.h5
check "what it began with is gone" 0 "${planned[@]}" --init-from init.h5 --genotype moved/g.json \
    --resume --max-steps 3 --out planned
check "search" 0 "${search[@]}" --data pack.h5 --max-steps 2 --out found
differs data "${search[@]}" --data other.h5 --resume --out found

# A checkpoint tells it, too.
cp found/last.h5 last.h5
check "search another" 0 "${search[@]}" --data other.h5 --max-steps 2 --out found2
cp last.h5 found2/last.h5
differs data "${search[@]}" --data other.h5 --resume --out found2

# A run begun before contents were recorded: names are all there is to compare.
sed -i -e '/^ "inputs": {$/,/^ },$/d' -e 's|^  "genotype": .*,|  "genotype": "moved/g.json",|' \
    run/run.json
jq -e '(has("inputs") | not) and .config.genotype == "moved/g.json"' run/run.json >jq.out ||
    fail "no older run"
rm run/last.h5 run/last.h5.prev run/result.json
check "an older run, other names" 1 "${train[@]}" --data pack.h5 --genotype g.json --resume \
    --out run
has stderr 'began with --genotype "moved/g.json"' "an older run, other names"
check "an older run" 0 "${train[@]}" --data pack.h5 --genotype moved/g.json --resume \
    --max-steps 1 --out run
jq -e .inputs.genotype run/run.json >jq.out || fail "an older run does not record contents now"

# ---- options of a resumed run ----
check "other threads" 0 "${train[@]}" --data pack.h5 --genotype moved/g.json --resume \
    --max-steps 2 --threads 2 --out run
has stderr 'checkpoint is of 1 threads; going on with 2' "other threads"
check "its own threads" 0 "${train[@]}" --data pack.h5 --genotype moved/g.json --resume \
    --max-steps 3 --threads 0 --out run
! grep -q threads stderr || fail "its own threads: a word about them"

# ---- what of a run's folder is lost is told, and the run goes on ----
resumed() { # PATTERN NAME ARGS...: one line of warning, which says what is lost
    local pattern=$1 name=$2
    shift 2
    check "$name" 0 "$@" --resume
    [ "$(grep -c '^sphynx: warning' stderr)" -eq 1 ] || fail "$name: not one warning"
    has stderr "$pattern" "$name"
}
lost=("${train[@]}" --data pack.h5 --log-every 1 --epochs 3 --out lost)
check "train" 0 "${lost[@]}" --max-steps 16
head -c 100 lost/metrics.jsonl >cut && cp cut lost/metrics.jsonl
resumed 'metrics.jsonl has lost lines: [1-9][0-9]* of the [0-9]+ bytes' "a cut log" "${lost[@]}" \
    --max-steps 17
: >lost/metrics.jsonl
resumed "metrics.jsonl has lost lines: 0 of the " "an emptied log" "${lost[@]}" --max-steps 18
rm lost/metrics.jsonl
resumed "metrics.jsonl has lost lines: 0 of the " "a removed log" "${lost[@]}" --max-steps 19
mv lost/best.h5 best.h5
resumed "best.h5, the best so far, is absent" "no best" "${lost[@]}" --max-steps 20
mv best.h5 lost/best.h5
rm lost/last.h5
resumed 'last.h5 is absent; going on from the checkpoint before it' "no checkpoint" "${lost[@]}" \
    --max-steps 21
rm lost/last.h5 lost/last.h5.prev
cp -r lost before
check "a result without a checkpoint" 1 "${lost[@]}" --max-steps 3 --resume
one_line "a result without a checkpoint"
has stderr "there is a result, but no checkpoint" "a result without a checkpoint"
for f in metrics.jsonl best.h5 model.h5 result.json; do
    cmp "before/$f" "lost/$f" || fail "a result without a checkpoint: $f was touched"
done
rm lost/result.json
resumed 'no checkpoint, neither last.h5 nor last.h5.prev: it begins again' "no checkpoint at all" \
    "${lost[@]}" --max-steps 3
check "search" 0 "${search[@]}" --data pack.h5 --epochs 2 --out cell
cp cell/genotype.json cell/genotype.txt .
rm cell/genotype.json cell/genotype.txt
check "no genotype" 0 "${search[@]}" --data pack.h5 --epochs 2 --resume --out cell
cmp genotype.json cell/genotype.json || fail "no genotype: not written again"
cmp genotype.txt cell/genotype.txt || fail "no genotype: its text is not written again"
check "all there" 0 "${lost[@]}" --max-steps 4 --resume
! grep -q warning stderr || fail "all there: a warning"

# ---- what schedulers and terminals send: a checkpoint, and 75 ----
stopped() { # SIGNAL NAME COMMAND...
    local signal=$1 name=$2 code=0 pid i
    shift 2
    "$@" --log-every 1 --out "$name" >stdout 2>stderr &
    pid=$!
    for ((i = 0; i < 600; i++)); do
        [ ! -s "$name/metrics.jsonl" ] || break
        sleep 0.1
    done
    kill "-$signal" $pid
    wait $pid || code=$?
    [ $code -eq 75 ] || fail "$name: exit code $code after SIG$signal"
    has stderr "stopped by SIG$signal" "$name"
    [ -s "$name/last.h5" ] || fail "$name: no checkpoint"
}
for signal in TERM HUP USR1 USR2 XCPU; do
    stopped $signal "stopped-$signal" "${train[@]}" --data pack.h5 --epochs 100000
done
stopped USR1 stopped-search "${search[@]}" --data pack.h5 --epochs 100000
check "go on after it" 75 "${train[@]}" --data pack.h5 --epochs 100000 --resume \
    --out stopped-USR1 --time-limit 00:00:01
has stderr 'time limit' "go on after it"
finish
