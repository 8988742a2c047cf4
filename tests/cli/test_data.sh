#!/usr/bin/env bash
# test_data.sh SPHYNX: sphynx data on a tiny set made here, and on what is wrong with it.
. "$(dirname "$0")/check.sh"
sphynx=$1
src=$OUT/src pack=$OUT/pack.h5
mkdir "$src"

# Ten black 28x28 images, labels 0 to 9, in each split.
make_set() {
    local prefix
    for prefix in train t10k; do
        { printf '\0\0\10\3\0\0\0\12\0\0\0\34\0\0\0\34'; head -c 7840 /dev/zero; } \
            >"$src/$prefix-images-idx3-ubyte"
        printf '\0\0\10\1\0\0\0\12\0\1\2\3\4\5\6\7\10\11' >"$src/$prefix-labels-idx1-ubyte"
    done
}

make_set
check "pack" 0 "$sphynx" data pack mnist "$src" -o "$pack"
has stdout 'pack.h5: mnist, 10 train \+ 10 test images of 1x28x28, 10 classes' "pack"
check "check" 0 "$sphynx" data check "$pack"
check "info" 0 "$sphynx" data info "$pack"
has stdout '^    9 9 +1 +1$' "info lists images per class"
check "info --json" 0 "$sphynx" data info "$pack" --json
jq -e '.dataset == "mnist" and .shape == [1, 28, 28] and .classes == 10 and .train.images == 10
       and .test.per_class[9] == 1 and .train.mean == [0]' "$OUT/stdout" >"$OUT/jq" ||
    fail "info --json: $(cat "$OUT/stdout")"

check "preview" 0 "$sphynx" data preview "$pack" -o "$OUT/grid.png" --columns 3 --split test
has stdout ' 92 pixels wide and 302 high' "preview"
[ "$(head -c 4 "$OUT/grid.png" | tail -c 3)" = PNG ] || fail "preview writes no PNG"

check "preview, too wide for a picture" 0 "$sphynx" data preview "$pack" -o "$OUT/grid2.png" \
    --columns 1000 --split test
has stdout 'left out: all but the first 315 images' "preview, too wide" # of (24 + 2) pixels in 8190
check "preview as a JPEG" 2 "$sphynx" data preview "$pack" -o "$OUT/grid.jpg"
one_line "preview as a JPEG"
[ ! -e "$OUT/grid.jpg" ] || fail "a PNG is named .jpg"
cp "$pack" "$OUT/first.h5"
check "pack again" 0 "$sphynx" data pack mnist "$src" -o "$pack"
check "pack --json" 0 "$sphynx" data pack mnist "$src" -o "$pack" --json
mv "$OUT/stdout" "$OUT/packed.json"
check "info of the same" 0 "$sphynx" data info "$pack" --json
cmp "$OUT/stdout" "$OUT/packed.json" || fail "pack --json and info --json differ"
cmp -s "$pack" "$OUT/first.h5" || fail "packing twice gives two different files"

check "pack into its folder" 0 "$sphynx" data pack mnist "$src" -o "$src/pack.h5"
check "pack into its folder again" 0 "$sphynx" data pack mnist "$src" -o "$src/pack.h5"
rm "$src/pack.h5"
sum=$(sha256sum "$src"/*)
ln -s "$src/train-images-idx3-ubyte" "$OUT/alias"
for out in "$src/train-images-idx3-ubyte" "$OUT/alias"; do
    check "pack onto a file of its folder" 2 "$sphynx" data pack mnist "$src" -o "$out"
    one_line "pack onto a file of its folder"
    has stderr 'is a file of the input' "pack onto a file of its folder"
done
[ "$sum" = "$(sha256sum "$src"/*)" ] || fail "a pack destroyed what it was made from"
check "pack without output" 2 "$sphynx" data pack mnist "$src"
one_line "pack without output"
check "unknown set" 2 "$sphynx" data pack imagenot "$src" -o "$OUT/x.h5"
one_line "unknown set"
has stderr 'mnist, fashion-mnist, .*imagefolder' "unknown set"
check "help of sources" 0 "$sphynx" data pack --help
has stdout '^mnist, fashion-mnist$' "help of sources"
has stdout 'train/CLASS and val/CLASS' "help of sources"
mkdir -p "$OUT/own/left" "$OUT/own/right"
for i in 1 2 3 4; do cp "$OUT/grid.png" "$OUT/own/left/$i.png"; done
for i in 1 2 3 4; do cp "$OUT/grid.png" "$OUT/own/right/$i.png"; done
check "own pictures" 0 "$sphynx" data pack folder "$OUT/own" -o "$OUT/own.h5" --held-out 0.25
has stdout 'imagefolder, 6 train \+ 2 test images of 1x302x92, 2 classes' "own pictures"
check "own pictures" 0 "$sphynx" data info "$OUT/own.h5"
has stdout ' 1 right +3 +1$' "own pictures"
check "own pictures checked" 0 "$sphynx" data check "$OUT/own.h5"
check "empty folder" 1 "$sphynx" data pack cifar10 "$src" -o "$OUT/x.h5"
one_line "empty folder"
has stderr 'data_batch_1.bin' "empty folder"

# Files of 512 bytes at most: the disk is as good as full.
check "full disk" 1 sh -c 'ulimit -f 1; exec "$0" data pack mnist "$1" -o "$2"' \
    "$sphynx" "$src" "$OUT/x.h5"
one_line "full disk"

printf '\12' | dd of="$src/t10k-labels-idx1-ubyte" bs=1 seek=12 conv=notrunc 2>/dev/null
check "bad label" 1 "$sphynx" data pack mnist "$src" -o "$OUT/x.h5"
one_line "bad label"
has stderr 't10k-labels-idx1-ubyte: offset 12: label 10, expected 0 to 9' "bad label"
[ -z "$(find "$OUT" -name 'x.h5*')" ] || fail "a failed pack left a file behind"

head -c 9000 "$pack" >"$OUT/cut.h5"
check "truncated pack" 1 "$sphynx" data check "$OUT/cut.h5"
one_line "truncated pack"
has stderr 'cut.h5: offset' "truncated pack"
cp "$OUT/cut.h5" "$OUT/cut.h5.part"
check "an unfinished packing" 1 "$sphynx" data info "$OUT/cut.h5.part"
one_line "an unfinished packing"
has stderr 'cut.h5.part: an unfinished packing' "an unfinished packing"
check "no pack" 1 "$sphynx" data info "$OUT/absent.h5"
one_line "no pack"
finish
