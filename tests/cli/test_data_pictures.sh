#!/usr/bin/env bash
# test_data_pictures.sh SPHYNX DUMP_PACK PYTHON: packs of pictures of every odd kind hold what PIL,
# numpy and h5py say, in every form of storage.
. "$(dirname "$0")/check.sh"
sphynx=$1 dump_pack=$2 python=$3 here=$(cd "$(dirname "$0")" && pwd)
"$python" -c 'import PIL, numpy, h5py' 2>"$OUT/stderr" || { echo "no PIL, numpy, h5py"; exit 77; }
set=$OUT/set
"$python" "$here/../data/odd_images.py" "$set" 1000 || exit 1
bad=$(jq '[.[] | select(.good | not)] | length' "$set.json")
[ "$bad" -ge 20 ] || fail "only $bad bad pictures were made"

pack() { "$sphynx" data pack imagefolder "$set" "$@"; }
check "a corrupt picture" 1 pack -o "$OUT/x.h5"
one_line "a corrupt picture"
has stderr '[0-9]+\.(jpg|png|jpeg): ' "a corrupt picture is named"
has stderr '--allow-bad' "a corrupt picture: what to do"
check "one bad too many" 1 pack -o "$OUT/x.h5" --allow-bad $((bad - 1))
[ -z "$(find "$OUT" -name 'x.h5*')" ] || fail "left behind: $(find "$OUT" -name 'x.h5*')"

truth() { # truth PACK FORM: the pack against its pictures
    check "info of $2" 0 "$sphynx" data info "$1" --json
    mv "$OUT/stdout" "$OUT/info"
    "$dump_pack" "$1" >"$OUT/dump" 2>"$OUT/stderr" || fail "dump_pack: $(cat "$OUT/stderr")"
    "$python" "$here/pack_truth.py" "$1" "$OUT/dump" "$OUT/info" "$set" "$2" >"$OUT/truth" 2>&1 ||
        fail "$2: $(head -5 "$OUT/truth")"
}
for form in original raw:16 jpeg:24:95; do
    name=$OUT/${form//:/-}.h5
    check "pack as $form" 0 pack -o "$name" --allow-bad "$bad" --store $form --threads 1
    has stdout "differing sizes|3x16x16" "pack as $form"
    has stdout "stored as $form in 1 file, $bad left out" "pack as $form"
    has stderr 'left out, does not decode: ' "pack as $form"
    truth "$name" $form
    check "check of $form" 0 "$sphynx" data check "$name" --deep
    check "pack as $form by more threads" 0 pack -o "$OUT/again.h5" --allow-bad "$bad" \
        --store $form --threads 5
    cmp "$name" "$OUT/again.h5" || fail "$form: other bytes by other threads"
done

# Boxes of all of them, and bare decoding beside it; what is no colour or grey JPEG is in both.
check "bench loader" 0 "$sphynx" bench loader "$OUT/original.h5" --images 64 --batch 16 --size 24 \
    --rounds 1 --workers 2 --json
jq -e '.images == 64 and .images_per_core_second > 0 and .share_of_limit > 0' "$OUT/stdout" \
    >"$OUT/jq" || fail "bench loader: $(cat "$OUT/stdout")"
check "bench loader, fewer" 0 "$sphynx" bench loader "$OUT/original.h5" --images 20 --batch 16 \
    --size 24 --rounds 1
has stderr '16 pictures in a round, not 20' "bench loader, fewer"

# ---- shards ----
pack=$OUT/shards.h5
check "pack in shards" 0 pack -o "$pack" --allow-bad "$bad" --shard 256K
has stdout 'stored as original in [3-9] files' "pack in shards"
truth "$pack" original
cp "$OUT/dump" "$OUT/dump.shards"
"$dump_pack" "$OUT/original.h5" | cmp - "$OUT/dump.shards" || fail "shards change what is packed"
check "check of shards" 0 "$sphynx" data check "$pack" --deep
shard=$(find "$OUT" -name 'shards.002-*.h5')
check "a shard as a pack" 1 "$sphynx" data info "$shard"
one_line "a shard as a pack"
has stderr 'a shard: give the file of the pack' "a shard as a pack"
mv "$shard" "$OUT/gone"
check "a shard that is gone" 1 "$sphynx" data check "$pack"
one_line "a shard that is gone"
has stderr "$(basename "$shard")" "a shard that is gone"
cp "$(find "$OUT" -name 'shards.001-*.h5')" "$shard"
check "another file in a shard's place" 1 "$sphynx" data check "$pack"
one_line "another file in a shard's place"
mv "$OUT/gone" "$shard"
check "pack again in other shards" 0 pack -o "$pack" --allow-bad "$bad" --shard 512K
[ ! -e "$shard" ] || fail "a shard of the pack before is still there"
check "check of other shards" 0 "$sphynx" data check "$pack" --deep

# ---- flipped bits are found and named ----
"$python" - "$OUT/original.h5" "$set" <<'PY' >"$OUT/flipped" || fail "flipping"
import sys
path, folder = sys.argv[1:]
data = bytearray(open(path, "rb").read())
for name in ("train/zebra/6.jpg", "train/ant/0.jpg"):
    picture = open(folder + "/" + name, "rb").read()
    at = data.find(picture)
    assert at > 0 and data.find(picture, at + 1) < 0, name
    data[at + len(picture) // 2] ^= 4
open(path, "wb").write(data)
PY
check "a flipped bit, checked from outside" 0 "$sphynx" data check "$OUT/original.h5"
has stdout 'pictures were not looked at \(--deep\)' "a flipped bit, checked from outside"
check "flipped bits" 1 "$sphynx" data check "$OUT/original.h5" --deep
has stderr 'train/ant/0\.jpg' "flipped bits"
has stderr 'train/zebra/6\.jpg' "flipped bits"
has stderr '2 of [0-9]+ pictures are damaged' "flipped bits"
[ "$(wc -l <"$OUT/stderr")" -eq 3 ] || fail "flipped bits: not one line each and a last one"

# ---- pictures of pictures ----
check "preview" 0 "$sphynx" data preview "$pack" -o "$OUT/sheet.png" --columns 5
has stdout '7 classes, one a row, 492 pixels wide and 688 high' "sheet" # check-figure: 7*98+2 = 688
check "preview of few" 0 "$sphynx" data preview "$OUT/raw-16.h5" -o "$OUT/sheet.png" --split test \
    --json
jq -e '.thumbnail == [16, 16] and .classes == 7' "$OUT/stdout" >"$OUT/jq" || fail "preview --json"

# ---- grey alone is one channel ----
mkdir -p "$OUT/grey/a"
"$python" - "$OUT/grey/a" <<'PY' || exit 1
import sys
from PIL import Image
for i in range(4):
    Image.new("L", (8 + i, 9), 60 * i).save(f"{sys.argv[1]}/{i}.jpg")
PY
for channels in auto 1 3; do
    check "grey, channels $channels" 0 "$sphynx" data pack imagefolder "$OUT/grey" -o "$OUT/g.h5" \
        --channels $channels --test-fraction 0
    has stdout "images of ${channels/auto/1} channel" "grey, channels $channels"
done
finish
