#!/usr/bin/env bash
# test_files.sh SPHYNX MAKE_PACK LACKING_FS: where the program's files go, on file systems, links
# and names of every kind.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2 lacking_fs=$3 pack=$OUT/pack.h5
export XDG_CACHE_HOME=$OUT/cache
"$make_pack" "$pack" 16 96 || exit 1

train=("$sphynx" train --init-channels 1 --batch 8 --threads 1 --layers 3 --reduce-at "0,2"
    --aux-weight 0 --epochs 2)

# ---- a file system without locks and syncing ----
lacking() {
    LD_PRELOAD="$lacking_fs" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" "$@"
}
check "train without locks" 0 lacking "${train[@]}" --data "$pack" --out "$OUT/unlocked"
has stderr 'warning: .*no locks' "train without locks"
[ -s "$OUT/unlocked/last.h5.prev" ] || fail "without second names the older checkpoint is not kept"
check "resume without locks" 0 lacking "${train[@]}" --data "$pack" --out "$OUT/unlocked" --resume
has stderr 'warning: .*no locks' "resume without locks"
check "draw without locks" 0 lacking "$sphynx" search --random --out "$OUT/drawn"
has stderr 'warning: .*no locks' "draw without locks"

# ---- links, pipes and leftovers ----
mkdir "$OUT/store"
ln -s store/dot "$OUT/link"
check "through a dangling link" 0 "$sphynx" inspect --genotype "$OUT/drawn/genotype.json" \
    --dot "$OUT/link"
[ -L "$OUT/link" ] && grep -q digraph "$OUT/store/dot" || fail "a link was not followed"
check "onto a device" 0 "$sphynx" inspect --genotype "$OUT/drawn/genotype.json" --dot /dev/null
[ -c /dev/null ] || fail "/dev/null was replaced"
"$sphynx" inspect --genotype "$OUT/drawn/genotype.json" --dot >(grep -c digraph >"$OUT/piped") \
    >"$OUT/stdout" 2>"$OUT/stderr" || fail "onto a pipe"
for _ in $(seq 100); do [ -s "$OUT/piped" ] && break || sleep 0.05; done
[ -s "$OUT/piped" ] || fail "nothing came through the pipe"
# ---- readers see a whole file while others write it ----
for images in 96 400; do
    (for _ in $(seq 40); do "$make_pack" "$OUT/shared.h5" 16 $images || echo bad; done) \
        >>"$OUT/writers" 2>&1 &
done
for _ in $(seq 60); do
    [ ! -e "$OUT/shared.h5" ] || check "reading what is written" 0 "$sphynx" data check \
        "$OUT/shared.h5"
done
wait
[ ! -s "$OUT/writers" ] || fail "writers: $(head -2 "$OUT/writers")"
cp "$OUT/shared.h5" "$OUT/next.h5"
( while [ -e "$OUT/next.h5" ]; do
    cp "$OUT/next.h5" "$OUT/moving.h5" && mv "$OUT/moving.h5" "$OUT/shared.h5"
done ) 2>"$OUT/mv" &
for _ in $(seq 40); do
    check "reading what is renamed over" 0 "$sphynx" data check "$OUT/shared.h5"
done
rm "$OUT/next.h5"
wait

# ---- names of every kind, in a run's record too ----
odd="$OUT/$(printf 'd%.0s' {1..190})/a ;b #c \"d\" e"
mkdir -p "$odd"
cp "$pack" "$odd/p.h5"
check "train on an odd name" 0 "${train[@]}" --data "$odd/p.h5" --out "$odd/run"
check "resume it by its record" 0 "$sphynx" train --config "$odd/run/config.ini" --resume \
    --out "$odd/run"
# Recorded from the root: found from another folder.
cd "$OUT" || exit 1
check "train on a relative name" 0 "${train[@]}" --data pack.h5 --out "$OUT/relative"
cd / || exit 1
check "export from elsewhere" 0 "$sphynx" export --model "$OUT/relative" -o "$OUT/deployed.h5" \
    --threads 1
for verb in "eval --data $pack" "predict --data $pack --index 0" inspect; do
    # shellcheck disable=SC2086
    check "$verb of a run's folder" 0 "$sphynx" $verb --model "$OUT/relative"
done
mv "$pack" "$OUT/gone.h5"
check "export without the data" 1 "$sphynx" export --model "$OUT/relative" -o "$OUT/none.h5"
one_line "export without the data"
has stderr "trained on $pack, which is not there: give --data" "export without the data"
mv "$OUT/gone.h5" "$pack"
check "a config elsewhere" 0 "$sphynx" train --config "$OUT/relative/config.ini" --resume \
    --out "$OUT/relative"

# ---- near the limit of the address space: a clear line, and the older checkpoint whole ----
little() (ulimit -c 0 && ulimit -v "$1" && shift && exec "$@")
if little 600000 "$sphynx" --version >"$OUT/stdout" 2>"$OUT/stderr"; then # else: a sanitizer's
    cp -r "$OUT/unlocked" "$OUT/base"
    for ((kib = 90000; kib < 150000; kib += 6100)); do
        code=0
        rm -rf "$OUT/little" && cp -r "$OUT/base" "$OUT/little"
        little $kib "${train[@]}" --data "$pack" --out "$OUT/little" --resume >"$OUT/stdout" \
            2>"$OUT/stderr" || code=$?
        case $code in
        0) ;;
        1) [ -s "$OUT/stderr" ] || fail "$kib KiB: no word" ;;
        *) fail "$kib KiB: exit code $code" ;;
        esac
        cmp "$OUT/base/last.h5" "$OUT/little/last.h5" || fail "$kib KiB: another checkpoint"
    done
fi

[ -z "$(find "$OUT" -name '*.tmp')" ] || fail "left behind: $(find "$OUT" -name '*.tmp')"
finish
