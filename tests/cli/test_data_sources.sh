#!/usr/bin/env bash
# test_data_sources.sh SPHYNX: sources of pictures and disks on which packing cannot go well: one
# clear line, and nothing half-written.
. "$(dirname "$0")/check.sh"
sphynx=$1
# A PNG of 1x1 pixels: what its header says, one filter byte and one sample, deflated.
base64 -d >"$OUT/one.png" <<'B64'
iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg==
B64

# set NAME CLASSES EACH: a set of 1x1 pictures
set_of() {
    local k i files=() folders=()
    for ((k = 0; k < $2; k++)); do
        folders+=("$OUT/$1/c$k")
        for ((i = 0; i < $3; i++)); do files+=("$OUT/$1/c$k/$i.png"); done
    done
    mkdir -p "${folders[@]}"
    tee "${files[@]}" <"$OUT/one.png" >"$OUT/tee"
}
pack() { "$sphynx" data pack imagefolder "$OUT/$1" -o "$OUT/x.h5" "${@:2}"; }
nothing_left() {
    [ -z "$(find "$OUT" -name 'x.h5*')" ] || fail "$1 left behind $(find "$OUT" -name 'x.h5*')"
    rm -f "$OUT"/x.h5*
}
# refused NAME CODE PATTERN SET ARGS...: one line with PATTERN, and nothing half-written
refused() {
    check "$1" "$2" pack "${@:4}"
    one_line "$1"
    has stderr "$3" "$1"
    nothing_left "$1"
}

set_of good 2 4
check "a good set" 0 pack good
has stdout 'imagefolder, [0-9]+ train \+ [0-9]+ test images of 1x1x1, 2 classes' "a good set"
mv "$OUT/x.h5" "$OUT/good.h5"
cp -r "$OUT/good" "$OUT/elsewhere"
check "the same pictures elsewhere" 0 pack elsewhere
cmp "$OUT/good.h5" "$OUT/x.h5" || fail "where pictures lie is in their pack"
rm "$OUT/x.h5"

# ---- pictures ----
cp -r "$OUT/good" "$OUT/empty-file" && : >"$OUT/empty-file/c1/2.png"
refused "a file of no bytes" 1 'c1/2\.png' empty-file
cp -r "$OUT/good" "$OUT/link" && ln -s /nowhere/at/all "$OUT/link/c0/9.png"
check "a link to nothing" 1 pack link
one_line "a link to nothing"
has stderr 'c0/9\.png' "a link to nothing"
nothing_left "a link to nothing"
cp -r "$OUT/good" "$OUT/pipe" && mkfifo "$OUT/pipe/c0/9.png"
check "a pipe among pictures" 0 timeout 60 "$sphynx" data pack imagefolder "$OUT/pipe" \
    -o "$OUT/x.h5"
has stderr 'passed over 1 file' "a pipe among pictures"
rm "$OUT/x.h5"

# What may not be read: root reads all, so another user packs.
user=()
[ "$(id -u)" -ne 0 ] || user=(setpriv --reuid=65534 --clear-groups)
chmod 755 "$OUT" && mkdir -m 777 "$OUT/open"
if "${user[@]}" "$sphynx" --version >"$OUT/stdout" 2>"$OUT/stderr"; then
    cp -r "$OUT/good" "$OUT/secret" && chmod 0 "$OUT/secret/c1/3.png"
    for more in "" "--allow-bad 5"; do # it is not merely bad
        # shellcheck disable=SC2086
        check "a file that may not be read $more" 1 "${user[@]}" "$sphynx" data pack imagefolder \
            "$OUT/secret" -o "$OUT/open/x.h5" $more
        one_line "a file that may not be read $more"
        has stderr 'c1/3\.png: .*denied' "a file that may not be read $more"
        nothing_left "a file that may not be read $more"
    done
    chmod 0 "$OUT/secret/c0"
    check "a folder that may not be read" 1 "${user[@]}" "$sphynx" data pack imagefolder \
        "$OUT/secret" -o "$OUT/open/x.h5"
    one_line "a folder that may not be read"
    has stderr 'secret/c0: .*denied' "a folder that may not be read"
    nothing_left "a folder that may not be read"
    chmod 700 "$OUT/secret/c0"
else
    echo "not tested: what may not be read"
fi
cp -r "$OUT/good" "$OUT/text" && echo "not a picture" >"$OUT/text/c0/notes.txt"
check "a file of another kind" 0 pack text
has stderr 'passed over 1 file' "a file of another kind"
rm -f "$OUT/x.h5"
cp -r "$OUT/empty-file" "$OUT/bad" && head -c 40 "$OUT/one.png" >"$OUT/bad/c0/3.png"
refused "the first bad picture" 1 'c0/3\.png' bad
check "more bad pictures than allowed" 1 pack bad --allow-bad 1
for bad in c0/3 c1/2; do
    has stderr "does not decode: .*$bad\.png" "more bad pictures than allowed: every one is named"
done
nothing_left "more bad pictures than allowed"
check "as many as allowed" 0 pack bad --allow-bad 2
has stderr 'left out, does not decode: .*c0/3\.png' "as many as allowed"
check "bad ones in the description" 0 "$sphynx" data info "$OUT/x.h5" --json
jq -e '(.bad | length) == 2 and (.bad[0] | endswith("c0/3.png")) and .store == "original"
       and .shards == 0' "$OUT/stdout" >"$OUT/jq" || fail "info: $(cat "$OUT/stdout")"
check "bad ones in the text" 0 "$sphynx" data info "$OUT/x.h5"
has stdout '^c1/2\.png$' "bad ones in the text"
rm -f "$OUT/x.h5"
mkdir -p "$OUT/allbad/c0" "$OUT/allbad/c1"
: >"$OUT/allbad/c0/a.png"
: >"$OUT/allbad/c1/a.png"
check "nothing but bad pictures" 1 pack allbad --allow-bad 9
one_line "nothing but bad pictures"
nothing_left "nothing but bad pictures"

# ---- folders ----
cp -r "$OUT/good" "$OUT/loop" && ln -s .. "$OUT/loop/c0/up"
refused "a loop of folders" 1 'loop|back into' loop
mkdir "$OUT/none"
refused "an empty folder" 1 'none' none
refused "no folder" 1 'absent' absent
set_of many 1200 2
check "more than a thousand classes" 0 pack many
has stdout '1200 train \+ 1200 test images of 1x1x1, 1200 classes' "more than a thousand classes"
check "preview of 1200 classes" 0 "$sphynx" data preview "$OUT/x.h5" -o "$OUT/sheet.png"
has stdout '1200 classes, one a row' "preview of 1200 classes"
check "many and larger ones" 0 pack many --store raw:24
check "preview of 1200 classes, wide" 0 "$sphynx" data preview "$OUT/x.h5" -o "$OUT/sheet.png" \
    --columns 1000
has stdout 'left out: classes 315 to 1199' "preview of 1200 classes, wide"
rm -f "$OUT/x.h5"
set_of half/train 3 2
set_of half/val 2 2
mkdir "$OUT/half/train/empty" "$OUT/half/val/c2"
check "empty classes" 0 pack half
has stdout '6 train \+ 4 test images of 1x1x1, 4 classes' "empty classes"
mv "$OUT/x.h5" "$OUT/half.h5"
refused "a share beside a test split" 1 'own: leave out --test-fraction' half --test-fraction 0.2
mv "$OUT/half.h5" "$OUT/x.h5"
check "empty classes" 0 pack half
has stderr 'warning: the train split has no image of label 3' "empty classes"
check "info of empty classes" 0 "$sphynx" data info "$OUT/x.h5"
has stdout ' 3 empty +0 +0$' "info of empty classes"
check "preview of empty classes" 0 "$sphynx" data preview "$OUT/x.h5" -o "$OUT/sheet.png"
check "check tells of empty classes" 0 "$sphynx" data check "$OUT/x.h5"
has stderr 'train split has no image of label 3 \(empty\)$' "check tells of empty classes"
has stderr 'test split has no image of label 2 \(c2\) and of others' "check tells of empty classes"
mkdir -p "$OUT/half/val/empty" && cp "$OUT/one.png" "$OUT/half/val/empty"
check "a class to test alone" 0 pack half
check "check of a class to test alone" 1 "$sphynx" data check "$OUT/x.h5"
one_line "check of a class to test alone"
has stderr 'train split has no image of label 3, the test' "check of a class to test alone"
rm -f "$OUT/x.h5"

# ---- published sets ----
tiny=$OUT/tiny
mkdir -p "$tiny/train/n1/images" "$tiny/train/n2/images" "$tiny/val/images"
for file in train/n1/images/n1_0 train/n2/images/n2_0 val/images/val_0 val/images/val_1; do
    cp "$OUT/one.png" "$tiny/$file.JPEG" # content counts, not the name
done
printf 'n1\nn2\n' >"$tiny/wnids.txt"
printf 'n1\tgoldfish\nn2\tbee, honeybee\n' >"$tiny/words.txt"
printf 'val_0.JPEG\tn2\t0\t0\t1\t1\nval_1.JPEG\tn1\t0\t0\t1\t1\n' >"$tiny/val/val_annotations.txt"
check "Tiny-ImageNet" 0 "$sphynx" data pack tiny-imagenet "$tiny" -o "$OUT/x.h5"
has stdout 'tiny-imagenet, 2 train \+ 2 test images of 1x64x64, 2 classes, stored as raw:64' \
    "Tiny-ImageNet"
check "Tiny-ImageNet as it is" 0 "$sphynx" data pack tiny-imagenet "$tiny" -o "$OUT/x.h5" \
    --store original
has stdout 'images of 1x1x1, 2 classes, stored as original' "Tiny-ImageNet as it is"
rm -f "$OUT/x.h5"

# ---- names ----
names=$OUT/names
for class in $'a\xff\xfe' $'b\nc' $'d\\e' $'f\tg' $'h\e[31m' " " "ü"; do
    mkdir -p "$names/$class"
    for file in $'p\xff.png' $'q\n.png' "-r.png"; do cp "$OUT/one.png" "$names/$class/$file"; done
done
check "names of any bytes" 0 pack names
check "names of any bytes, told" 0 "$sphynx" data info "$OUT/x.h5"
[ "$(LC_ALL=C tr -d '\n\40-\176\200-\377' <"$OUT/stdout" | wc -c)" -eq 0 ] ||
    fail "names of any bytes: control characters on the terminal"
for class in 'a\\xff\\xfe' 'b\\x0ac' 'd\\x5ce' 'f\\x09g' 'h\\x1b\[31m'; do
    has stdout " $class +[0-9]" "names of any bytes"
done
check "names of any bytes, JSON" 0 "$sphynx" data info "$OUT/x.h5" --json
jq -e '(.class_names | length) == 7 and (.class_names | index("ü"))' "$OUT/stdout" >"$OUT/jq" ||
    fail "names of any bytes: $(cat "$OUT/stdout")"
rm -f "$OUT/x.h5"

# ---- where the pack lies ----
check "a pack inside its source" 0 "$sphynx" data pack imagefolder "$OUT/good" -o "$OUT/good/p.h5"
check "once more" 0 "$sphynx" data pack imagefolder "$OUT/good" -o "$OUT/good/p.h5"
check "inside a class" 0 "$sphynx" data pack imagefolder "$OUT/good" -o "$OUT/good/c0/p.h5"
sum=$(sha256sum "$OUT/good/c0/0.png")
check "onto a picture" 2 "$sphynx" data pack imagefolder "$OUT/good" -o "$OUT/good/c0/0.png"
one_line "onto a picture"
[ "$sum" = "$(sha256sum "$OUT/good/c0/0.png")" ] || fail "a picture was overwritten"
rm "$OUT/good/p.h5" "$OUT/good/c0/p.h5"
echo "my own notes" >"$OUT/x.h5.part"
check "a .part that is not ours" 1 pack good
one_line "a .part that is not ours"
has stderr 'x\.h5\.part' "a .part that is not ours"
[ "$(cat "$OUT/x.h5.part")" = "my own notes" ] || fail "somebody's x.h5.part was overwritten"
rm -f "$OUT"/x.h5*
check "onto a folder" 1 "$sphynx" data pack imagefolder "$OUT/good" -o "$OUT/many"
one_line "onto a folder"
check "into no folder" 1 "$sphynx" data pack imagefolder "$OUT/good" -o "$OUT/absent/x.h5"
one_line "into no folder"
check "onto a device" 1 "$sphynx" data pack imagefolder "$OUT/good" -o /dev/null
one_line "onto a device"
[ -c /dev/null ] || fail "/dev/null was replaced"

# ---- a full disk ----
mkdir -p "$OUT/large/a" "$OUT/large/b"
for i in 1 2 3 4 5 6 7 8; do
    for k in a b; do
        # trailing bytes are kept and allowed
        { cat "$OUT/one.png" && head -c 20000 /dev/zero; } >"$OUT/large/$k/$i.png"
    done
done
check "trailing bytes" 0 pack large
rm -f "$OUT/x.h5"
check "many shards" 0 sh -c 'ulimit -Sn 8; exec "$@"' sh "$sphynx" data pack imagefolder \
    "$OUT/large" -o "$OUT/x.h5" --shard 64K
has stdout 'stored as original in [6-9] files' "many shards"
rm -f "$OUT"/x.*
for kib in 1 8 64 128; do
    check "a disk of $kib KiB" 1 sh -c \
        'ulimit -f '$((2 * kib))'; exec "$0" data pack imagefolder "$1" -o "$2"' \
        "$sphynx" "$OUT/large" "$OUT/x.h5"
    one_line "a disk of $kib KiB"
    [ ! -e "$OUT/x.h5" ] || fail "a disk of $kib KiB: half a pack"
    rm -f "$OUT"/x.h5*
done

# ---- options ----
for store in raw raw:0 raw:64x raw:99999 jpeg:64 jpeg:64:0 jpeg:64:101 jpeg:64:9: original:3 ""; do
    check "--store '$store'" 2 pack good --store "$store"
    one_line "--store '$store'"
    has stderr 'store' "--store '$store'"
done
check "grey --channels" 0 pack good --channels 3
has stdout 'images of 3x1x1' "grey --channels"
finish
