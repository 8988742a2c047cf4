#!/usr/bin/env bash
# test_data_kill.sh SPHYNX PYTHON: a packing that is killed, or stopped, goes on to the same bytes.
. "$(dirname "$0")/check.sh"
sphynx=$1 python=$2 set=$OUT/set
"$python" -c 'import PIL, numpy' 2>"$OUT/stderr" || { echo "no PIL, numpy"; exit 77; }
# 24 pictures under 600 names, so that packing takes a while.
"$python" - "$set" <<'PY' || exit 1
import os
import sys
import numpy as np
from PIL import Image
rng = np.random.default_rng(1)
root = sys.argv[1]
for i in range(24):
    name = f"{root}/{i % 4}/{i}.jpg"
    os.makedirs(os.path.dirname(name), exist_ok=True)
    pixels = rng.integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(pixels).resize((160, 120)).save(name, quality=90)
    for k in range(24):
        os.link(name, f"{root}/{i % 4}/{i}-{k}.jpg")
PY
pack=(data pack imagefolder "$set" --store jpeg:100:90 --shard 1M)
check "undisturbed" 0 "$sphynx" "${pack[@]}" -o "$OUT/whole.h5"
files=$(find "$OUT" -name 'whole*' | wc -l)
[ "$files" -ge 3 ] || fail "no shards: $files files"

seed=${SPX_FUZZ_SEED:-$RANDOM}
RANDOM=$((seed % 32768))
echo "seed $seed"
mkdir "$OUT/killed" # the same name in another folder, since a pack names its shards
killed=0 rounds=0
while [ $killed -lt 20 ] && [ $rounds -lt 400 ]; do
    rounds=$((rounds + 1))
    "$sphynx" "${pack[@]}" -o "$OUT/killed/whole.h5" --resume --threads 2 >"$OUT/stdout" \
        2>"$OUT/stderr" &
    job=$!
    sleep "0.$(printf %03d $((RANDOM % 150)))"
    if kill -9 $job 2>"$OUT/gone"; then killed=$((killed + 1)); fi
    wait $job 2>"$OUT/gone"
    if [ -e "$OUT/killed/whole.h5" ]; then # through: from the start
        cmp "$OUT/whole.h5" "$OUT/killed/whole.h5" || fail "round $rounds: another pack"
        rm -f "$OUT/killed"/*
    fi
done
[ $killed -eq 20 ] || fail "only $killed kills"
check "going on after the kills" 0 "$sphynx" "${pack[@]}" -o "$OUT/killed/whole.h5" --resume
for file in "$OUT"/whole*.h5; do
    cmp "$file" "$OUT/killed/$(basename "$file")" || fail "killed: $(basename "$file") differs"
done
[ "$(find "$OUT/killed" -type f | wc -l)" -eq "$files" ] ||
    fail "killed: other files: $(ls "$OUT/killed")"
check "check of what was killed" 0 "$sphynx" data check "$OUT/killed/whole.h5" --deep
before=$(stat -c %Y.%i "$OUT/killed/whole.h5")
check "a finished pack is left alone" 0 "$sphynx" "${pack[@]}" -o "$OUT/killed/whole.h5" --resume
has stderr 'is whole already' "a finished pack is left alone"
[ "$before" = "$(stat -c %Y.%i "$OUT/killed/whole.h5")" ] || fail "a finished pack was rewritten"

# ---- signals: exit code 75, and a word how to go on ----
# begun PART BYTES: waits until so much of a packing is there
begun() {
    for _ in $(seq 6000); do
        [ "$(stat -c %s "$1" 2>"$OUT/gone" || echo 0)" -lt "$2" ] || break
        sleep 0.01
    done
}
# stopped SIGNAL OUT: a packing that is stopped in its middle
stopped() {
    local signal=$1 out=$2 code=0
    "$sphynx" "${pack[@]}" -o "$out" --threads 1 >"$OUT/stdout" 2>"$OUT/stderr" &
    job=$!
    begun "$out.part" 20000
    kill -s "$signal" $job
    wait $job || code=$?
    [ $code -eq 75 ] || fail "$signal: exit code $code"
    has stderr 'stopped after [0-9]+ of 600 pictures: --resume goes on' "$signal"
    [ -s "$out.part" ] || fail "$signal: no .part"
    [ ! -e "$out" ] || fail "$signal: there is a pack"
}
for signal in TERM INT; do
    mkdir "$OUT/$signal"
    stopped $signal "$OUT/$signal/whole.h5"
    check "on after $signal" 0 "$sphynx" "${pack[@]}" -o "$OUT/$signal/whole.h5" --resume
    has stderr 'went on at picture [1-9]' "on after $signal"
    cmp "$OUT/whole.h5" "$OUT/$signal/whole.h5" || fail "$signal: another pack"
done

# ---- what changed in between is not mixed ----
mkdir "$OUT/change"
stopped TERM "$OUT/change/whole.h5"
check "other options" 1 env -C "$OUT" "$sphynx" data pack imagefolder "$set" --store raw:8 \
    -o change/whole.h5 --resume
one_line "other options"
has stderr '^sphynx data pack: change/whole.h5' "other options: as it was named"
has stderr 'leave out --resume' "other options"
touch -d '2001-01-01' "$set/0/0.jpg" # its time is nobody's business
cp "$set/0/0-1.jpg" "$set/0/new.jpg"
check "another source" 1 "$sphynx" "${pack[@]}" -o "$OUT/change/whole.h5" --resume
one_line "another source"
has stderr 'leave out --resume' "another source"
rm "$set/0/new.jpg"
check "the source as before" 0 "$sphynx" "${pack[@]}" -o "$OUT/change/whole.h5" --resume
cmp "$OUT/whole.h5" "$OUT/change/whole.h5" || fail "the source as before: another pack"
stopped TERM "$OUT/change/other.h5"
check "anew" 0 "$sphynx" data pack imagefolder "$set" --store raw:8 -o "$OUT/change/other.h5"
[ ! -e "$OUT/change/other.h5.part" ] || fail "anew: the old .part is still there"

# ---- one writer ----
mkdir "$OUT/two"
"$sphynx" "${pack[@]}" -o "$OUT/two/whole.h5" --threads 1 >"$OUT/first.out" 2>"$OUT/first.err" &
job=$!
begun "$OUT/two/whole.h5.part" 1
kill -STOP $job
for resume in "" --resume; do
    # shellcheck disable=SC2086
    check "a second writer $resume" 1 "$sphynx" "${pack[@]}" -o "$OUT/two/whole.h5" $resume
    one_line "a second writer $resume"
    has stderr 'another process' "a second writer $resume"
done
kill -CONT $job
wait $job || fail "the first writer: $(cat "$OUT/first.err")"
cmp "$OUT/whole.h5" "$OUT/two/whole.h5" || fail "two writers: another pack"
finish
