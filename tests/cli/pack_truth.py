#!/usr/bin/env python3
"""pack_truth.py PACK.h5 DUMP INFO FOLDER FORM: whether a pack of FOLDER (odd_images.py), of which
dump_pack wrote DUMP and `data info --json` INFO, holds what PIL, numpy and h5py say: order, labels,
bytes, pixels, and what was left out."""
import io
import json
import os
import struct
import sys
import zlib

import h5py
import numpy as np
from PIL import Image

failures = 0


def fail(text):
    global failures
    failures += 1
    if failures <= 20:
        print("FAILED:", text)


def dumped(path):
    with open(path, "rb") as f:
        data = f.read()
    at = 0
    while at < len(data):
        split, label, c, h, w = struct.unpack_from("<5I", data, at)
        at += 20
        planes = np.frombuffer(data, np.uint8, c * h * w, at).reshape(c, h, w)
        at += c * h * w
        (n,) = struct.unpack_from("<I", data, at)
        yield split, label, planes, data[at + 4:at + 4 + n]
        at += 4 + n


def expected(folder):
    with open(folder + ".json", encoding="ascii") as f:
        told = {bytes.fromhex(t["path"]): t for t in json.load(f)}
    paths = sorted(told)
    classes = sorted({p.split(b"/")[1] for p in paths})
    for split, name in enumerate((b"train/", b"val/")):
        for path in paths:
            if path.startswith(name) and told[path]["good"]:
                yield split, classes.index(path.split(b"/")[1]), path, told[path]


def decoded(data, entry):
    """(H, W, 3), by PIL but where PIL itself drops bits or transparency."""
    if entry["planes"] is not None:
        return np.array(entry["planes"], np.uint8)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def centre(pixels, side):
    """The largest centred square at side x side, by PIL's filter."""
    height, width = pixels.shape[:2]
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    box = np.ascontiguousarray(pixels[top:top + least, left:left + least])
    return np.asarray(Image.fromarray(box).resize((side, side), Image.BILINEAR))


def compare(form, path, entry, data, planes):
    truth = decoded(data, entry)
    limit = 0
    if form.startswith("raw:"):
        truth = centre(truth, int(form[4:]))
        limit = 2  # PIL rounds to bytes between its two passes; a byte more on either side
    elif form.startswith("jpeg:"):
        least, most = min(truth.shape[:2]), int(form.split(":")[1])
        if least > most:
            size = [max(1, (2 * side * most + least) // (2 * least)) for side in truth.shape[:2]]
            truth = np.asarray(Image.fromarray(truth).resize(size[::-1], Image.BILINEAR))
        limit = 255  # encoded once more; of what is smooth, the mean tells whether it is this one
    got = planes.transpose(1, 2, 0)
    if got.shape != truth.shape:
        fail(f"{path!r} ({entry['kind']}): {got.shape}, expected {truth.shape}")
        return
    off = np.abs(got.astype(int) - truth.astype(int))
    if off.max() > limit or entry["planes"] is None and off.mean() > 16:
        fail(f"{path!r} ({entry['kind']}): off by up to {off.max()}, in the mean {off.mean():.1f}; "
             f"at most {limit} expected")


def stored(path):
    """What h5py reads of each image, shard after shard: split, label, name, stored bytes."""
    splits = ([], [])
    with h5py.File(path, "r") as f:
        parts = [f["shards"][k] for k in sorted(f["shards"])] if "shards" in f else []
        for part in [*parts, f]:
            at = 0
            for split, name in enumerate(("train", "test")):
                if name not in part:
                    continue
                group = part[name]
                names = bytes(group["names"][:]).split(b"\0")[:-1]
                for i, label in enumerate(group["labels"][:]):
                    if "ends" in group:
                        end = int(group["ends"][i])
                        data, at = bytes(part["data"][at:end]), end
                    else:
                        data, at = bytes(part["data"][at]), at + 1
                    if zlib.crc32(data) != group["crc"][i]:
                        fail(f"{names[i]!r}: not of its checksum")
                    splits[split].append((split, int(label), names[i], data))
    return splits[0] + splits[1]


def escaped(name):
    """As a name stands in messages: bytes of no printable UTF-8, and backslashes, as \\xNN."""
    text = ""
    for c in name.decode("utf-8", "surrogateescape"):
        if "\udc80" <= c <= "\udcff":
            text += "\\x%02x" % (ord(c) - 0xdc00)
        elif c == "\\" or not c.isprintable() and c != " ":
            text += "".join("\\x%02x" % b for b in c.encode())
        else:
            text += c
    return text.encode()


def check_info(path, folder, want):
    with open(path, encoding="utf-8") as f:
        info = json.load(f)
    with open(folder + ".json", encoding="ascii") as f:
        told = json.load(f)
    lost = [bytes.fromhex(t["path"]) for t in told if not t["good"]]
    lost = [escaped(p).decode() for p in sorted(lost, key=lambda p: (p.startswith(b"val/"), p))]
    if info["bad"] != lost:
        fail(f"left out {info['bad']}, expected {lost}")
    for split, name in enumerate(("train", "test")):
        n = sum(w[0] == split for w in want)
        if info[name]["images"] != n:
            fail(f"{info[name]['images']} images of {name}, expected {n}")


def main():
    pack, dump, info, folder, form = sys.argv[1:]
    want = list(expected(folder))
    got = list(dumped(dump))
    kept = stored(pack)
    check_info(info, folder, want)
    if not len(want) == len(got) == len(kept):
        fail(f"{len(got)} images, {len(kept)} by h5py, expected {len(want)}")
    for (split, label, path, entry), (s, k, planes, name), of_h5 in zip(want, got, kept):
        with open(os.path.join(os.fsencode(folder), path), "rb") as f:
            data = f.read()
        who = (split, label, escaped(path))
        if (s, k, name) != who or of_h5[:3] != who:
            fail(f"{(s, k, name)}, by h5py {of_h5[:3]}, expected {who}")
        if form == "original" and of_h5[3] != data:
            fail(f"{path!r}: other bytes than the file's")
        if form.startswith("raw:") and of_h5[3] != planes.tobytes():
            fail(f"{path!r}: other planes by h5py")
        compare(form, path, entry, data, planes)
    if failures:
        sys.exit(f"{failures} failed")


main()
