#!/usr/bin/env bash
# test_data_archives.sh SPHYNX: archives as other programs write them give the pack, byte for byte,
# that their unpacked files give; a download that was cut short gives one line and no pack.
. "$(dirname "$0")/check.sh"
sphynx=$1
command -v python3 >"$OUT/where" || { echo "skipped: needs python3"; exit 77; }

# One ImageNet and one Tiny-ImageNet in each form, each called "set" in a folder of the form's name.
cd "$OUT" || exit 1
python3 - <<'PY' || fail "python3 wrote no archives"
import io, os, struct, tarfile, zipfile, zlib

def png(seed):
    """A picture of 8x8 pixels in colour."""
    rows = b"".join(b"\0" + bytes((seed * 7 + y * 24 + x) % 256 for x in range(24))
                    for y in range(8))
    def chunk(kind, data):
        sum_ = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + sum_
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)

def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mtime = 1234567890.5 if tar.format == tarfile.PAX_FORMAT else 1234567890
    tar.addfile(info, io.BytesIO(data))

keys = ["n09", "n01", "n05"]
train = {k: {f"{k}_{i}.JPEG": png(10 * n + i) for i in (10, 2, 1)} for n, k in enumerate(keys)}
train["n05"]["n05_" + "long" * 30 + ".JPEG"] = png(99)
val = {f"ILSVRC2012_val_{i:08d}.JPEG": png(100 + i) for i in (3, 1, 2, 4)}
labels = "".join(f"{name} {i % 3}\n" for i, name in enumerate(val)).encode()
for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
    home = f"tar{form}/set/"
    write(home + "val.txt", labels)
    with tarfile.open(home + "ILSVRC2012_img_train.tar", "w", format=form) as outer:
        for key in keys:
            held = io.BytesIO()
            with tarfile.open(fileobj=held, mode="w", format=form) as inner:
                for name, data in train[key].items():
                    add(inner, name, data)
            add(outer, key + ".tar", held.getvalue())
    with tarfile.open(home + "ILSVRC2012_img_val.tar", "w", format=form) as tar:
        for name, data in val.items():
            add(tar, name, data)
write("folder/set/val.txt", labels)
for key in keys:
    for name, data in train[key].items():
        write(f"folder/set/train/{key}/{name}", data)
for name, data in val.items():
    write(f"folder/set/val/{name}", data)

tiny = {"wnids.txt": b"n09\nn01\nn05\n", "words.txt": b"n01\tone\nn05\tfive, V\n",
        "val/val_annotations.txt": b"val_0.JPEG\tn05\t0\t0\t1\t1\nval_1.JPEG\tn09\t0\t0\t1\t1\n"}
tiny.update({f"train/{k}/images/{n}": d for k in keys for n, d in train[k].items()})
tiny.update({f"val/images/val_{i}.JPEG": png(200 + i) for i in (1, 0)})
for form in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
    os.makedirs(f"zip{form}")
    with zipfile.ZipFile(f"zip{form}/set", "w", form) as z:
        for name, data in tiny.items():
            z.writestr("tiny-imagenet-200/" + name, data)
for name, data in tiny.items():
    write("tiny/set/" + name, data)
PY

# pack FORM KIND ARGS...: packs set of a form into FORM.h5
pack() { (cd "$OUT/$1" && "$sphynx" data pack "$2" set -o "$OUT/$1.h5" "${@:3}"); }
check "folders of ImageNet" 0 pack folder imagenet --threads 1
has stdout 'imagenet, 10 train \+ 4 test images of 3x8x8, 3 classes' "folders of ImageNet"
for form in tar1 tar2; do
    check "ImageNet in $form" 0 pack "$form" imagenet --threads 3
    cmp -s "$OUT/folder.h5" "$OUT/$form.h5" || fail "$form and folders give other packs"
done
check "folders of Tiny-ImageNet" 0 pack tiny tiny-imagenet --threads 1
has stdout 'tiny-imagenet, 10 train \+ 2 test images' "folders of Tiny-ImageNet"
for form in zip0 zip8; do
    check "Tiny-ImageNet in $form" 0 pack "$form" tiny-imagenet --threads 3
    cmp -s "$OUT/tiny.h5" "$OUT/$form.h5" || fail "$form and folders give other packs"
done

for cut in tar1/set/ILSVRC2012_img_train.tar zip8/set; do
    rm -f "$OUT/${cut%%/*}.h5"
    truncate -s $(($(stat -c %s "$OUT/$cut") / 2)) "$OUT/$cut"
    kind=imagenet && [ "${cut%%/*}" = zip8 ] && kind=tiny-imagenet
    check "a cut $cut" 1 pack "${cut%%/*}" "$kind"
    one_line "a cut $cut"
    has stderr 'offset [0-9]+: .*is it whole' "a cut $cut"
    [ -z "$(find "$OUT" -name "${cut%%/*}.h5*")" ] || fail "a cut $cut left a pack behind"
done
finish
