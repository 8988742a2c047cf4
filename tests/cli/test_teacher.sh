#!/usr/bin/env bash
# test_teacher.sh SPHYNX MAKE_PACK: training with a teacher, and what cannot be one.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
"$make_pack" pack.h5 16 96 && "$make_pack" large.h5 20 96 && "$make_pack" other.h5 16 96 stars ||
    exit 1

train=("$sphynx" train --batch 8 --threads 1 --layers 3 --reduce-at "0,2" --aux-weight 0 --epochs 3
    --log-every 1)
student=("${train[@]}" --data pack.h5 --init-channels 1 --drop-path 0.3)
taught=("${student[@]}" --teacher teacher --attention-weight 50)

refused() { # NAME CODE PATTERN COMMAND...: one line, and no folder
    check "$1" "$2" "${@:4}" --out never
    one_line "$1"
    has stderr "$3" "$1"
    [ ! -e never ] || fail "$1: left a folder"
}

check "teacher" 0 "${train[@]}" --data pack.h5 --init-channels 3 --max-steps 14 --out teacher
check "taught" 0 "${taught[@]}" --max-steps 20 --out whole --json
jq -se 'map(select(.epoch == null)) | length == 20 and
    all(.loss > 0 and .distillation > 0 and .attention > 0 and .norm > 0)' whole/metrics.jsonl \
    >jq.out || fail "the log lacks a loss"
for result in stdout whole/result.json; do
    jq -e --arg digest "$(jq -r .inputs.teacher whole/run.json)" \
        '.teacher == {file: "teacher", digest: $digest} and ($digest | length == 64)' "$result" \
        >jq.out || fail "$result: $(cat "$result")"
done
check "logits alone" 0 "${student[@]}" --teacher teacher/model.h5 --distill-weight 0.9 \
    --distill-temperature 2 --max-steps 2 --out logits
jq -se '.[1].distillation > 0 and (.[1] | has("attention") | not)' logits/metrics.jsonl >jq.out ||
    fail "logits alone: $(cat logits/metrics.jsonl)"
check "alone" 0 "${student[@]}" --max-steps 1 --out alone
has stdout 'after 1 step$' "alone"
jq -se '.[0] | has("distillation") | not' alone/metrics.jsonl >jq.out || fail "alone: a teacher"
jq -e 'has("teacher") | not' alone/result.json >jq.out || fail "alone: result.json has a teacher"

check "a wide teacher" 0 "${train[@]}" --data pack.h5 --init-channels 12 --max-steps 1 --out wide
check "much smaller than its teacher" 0 "${student[@]}" --teacher wide --max-steps 1 --out small

# ---- resuming: no bit differs, whichever name the same teacher goes by ----
check "first part" 0 "${taught[@]}" --max-steps 7 --out parts
cp teacher/model.h5 copy.h5
check "second part" 0 "${student[@]}" --teacher copy.h5 --attention-weight 50 --resume \
    --max-steps 20 --out parts
cmp whole/metrics.jsonl parts/metrics.jsonl || fail "resumed: another log"
for file in last.h5 best.h5; do # these differ by the teacher's name
    for run in whole parts; do
        check "eval" 0 "$sphynx" eval --model "$run/$file" --data pack.h5 --threads 1 --json
        cp stdout "eval.$run"
    done
    cmp eval.whole eval.parts || fail "resumed: another $file"
done
resume=("${student[@]}" --attention-weight 50 --resume --max-steps 21 --out parts)
check "another teacher" 1 "${resume[@]}" --teacher logits
one_line "another teacher"
has stderr "another --teacher: .*--allow-changed" "another teacher"
check "another temperature" 1 "${resume[@]}" --teacher teacher --distill-temperature 5
has stderr "began with --distill-temperature 4" "another temperature"
check "no teacher" 1 "${student[@]}" --resume --max-steps 21 --out parts
has stderr "began with --(teacher|attention-weight)" "no teacher"
check "a teacher comes later" 1 "${student[@]}" --teacher teacher --resume --max-steps 2 --out alone
has stderr "began with --teacher" "a teacher comes later"
check "another teacher, meant" 0 "${resume[@]}" --teacher logits --allow-changed
mv teacher gone
check "a lost teacher" 1 "${resume[@]}" --teacher teacher
has stderr "teacher: No such file" "a lost teacher"
mv gone teacher

# ---- smaller images in early epochs: the teacher sees them, too ----
# At a rate that moves no weight, the second epoch's steps are those of a training on whole images.
still=("${taught[@]}" --resized-crop 0.3,1 --lr 1e-30 --drop-path 0 --max-steps 24)
check "growing images" 0 "${still[@]}" --resolutions 8:0,16:1 --out growing
check "whole images" 0 "${still[@]}" --out steady
for run in growing steady; do
    jq -c 'select(.epoch == null and .step > 12)' "$run/metrics.jsonl" >"$run.steps"
    jq -c 'select(.epoch == null and .step <= 12)' "$run/metrics.jsonl" >"$run.early"
done
[ "$(wc -l <growing.steps)" -eq 12 ] || fail "growing images: not 12 steps"
cmp growing.steps steady.steps || fail "growing images: the teacher sees others"
! cmp -s growing.early steady.early || fail "growing images: they do not"

# ---- what cannot teach ----
check "deploy" 0 "$sphynx" export --model teacher --data pack.h5 -o deployed.h5
refused "a deployed model" 1 "deployed model, .* cannot teach" "${student[@]}" --teacher deployed.h5
check "search" 0 "$sphynx" search --data pack.h5 --init-channels 1 --batch 8 --threads 1 \
    --layers 2 --reduce-loc 3 --order 1 --max-steps 1 --out found
refused "a search" 1 "not a final network" "${student[@]}" --teacher found
refused "a pack" 1 "large.h5" "${student[@]}" --teacher large.h5
refused "no file" 1 "absent" "${student[@]}" --teacher absent
check "on larger images" 0 "${train[@]}" --data large.h5 --init-channels 1 --max-steps 1 --out large
check "larger images" 1 "${student[@]}" --teacher large --out never # another pack: a warning, too
has stderr "input is 20x20, the student's 16x16" "larger images"
[ ! -e never ] || fail "larger images: left a folder"
check "on others" 0 "${train[@]}" --data other.h5 --init-channels 1 --max-steps 1 --out others
refused "another set" 1 "teacher: the pack: .*spots.*stars.*--allow-changed" "${student[@]}" \
    --teacher others
check "another set, meant" 0 "${student[@]}" --teacher others --allow-changed --max-steps 1 \
    --out meant
has stderr "warning: the pack: the data set is spots" "another set, meant"
refused "sizes differ" 1 "attention at cells.0: .*16x16, cells.0 of teacher teacher 8x8" \
    "$sphynx" train --data pack.h5 --batch 8 --threads 1 --layers 3 --reduce-at 1,2 \
    --init-channels 1 --aux-weight 0 --epochs 1 --teacher teacher --attention-weight 1
check "one size" 0 "$sphynx" train --data pack.h5 --batch 8 --threads 1 --layers 3 --reduce-at 1,2 \
    --init-channels 1 --aux-weight 0 --epochs 1 --max-steps 1 --teacher teacher \
    --attention-weight 1 --attention-at "cells.1=cells.0,cells.2" --out one-size
refused "no such cell" 1 "no activation cells.8, but cells.0 to cells.2" "${taught[@]}" \
    --attention-at cells.8
refused "attention without a teacher" 2 "attention-weight needs --teacher" "${student[@]}" \
    --attention-weight 1
refused "places without a weight" 2 "attention-at needs --attention-weight" "${student[@]}" \
    --teacher teacher --attention-at cells.0
refused "a weight above 1" 2 "distill-weight" "${student[@]}" --teacher teacher --distill-weight 1.1
refused "no temperature" 2 "distill-temperature" "${student[@]}" --teacher teacher \
    --distill-temperature 0

finish
