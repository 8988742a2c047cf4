#!/usr/bin/env python3
"""odd_images.py FOLDER [COUNT [SEED]]: a set of pictures of every odd kind as train/CLASS/* and
val/CLASS/*, and beside it FOLDER.json, which tells of each what a reader must find: its kind,
whether it decodes, and the planes of those whose truth no other program here gives."""
import io
import json
import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image

# Names are bytes: spaces, a backslash, a control character, UTF-8, what is no UTF-8.
CLASSES = [b"ant", b"b c", b"caf\xc3\xa9", b"d\\e", b"f\tg", b"h\xff\xfei", b"zebra"]


def picture(rng, height, width, channels):
    """Smooth, so that a filter's last bit shows nowhere as a large difference, with an edge."""
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for _ in range(channels):
        a, b, c = rng.uniform(0, 6.3, 3)
        v = 128 + 60 * np.sin(a + 7 * y / height) + 50 * np.cos(b + (3 + c) * x / width)
        planes.append(v + 30 * (x > width / 2))
    return np.clip(np.stack(planes, -1), 0, 255).round().astype(np.uint8)


def png(samples, depth):
    """Samples (height, width, channels) as a PNG of 8 or 16 bits, by no library's choice."""
    height, width, channels = samples.shape
    raw = samples.astype(">u2" if depth == 16 else np.uint8)
    lines = b"".join(b"\0" + row.tobytes() for row in raw)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(
            ">I", zlib.crc32(name + data))

    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) +
            chunk(b"IEND", b""))


def saved(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def rgb(rng, height=None, width=None, channels=3):
    height = height or int(rng.integers(20, 80))
    width = width or int(rng.integers(20, 80))
    return picture(rng, height, width, channels)


def as_jpeg(rng, **options):
    return saved(Image.fromarray(rgb(rng)), "JPEG", **options)


def sixteen(rng, channels):
    height, width = (int(v) for v in rng.integers(20, 60, 2))
    samples = rng.integers(0, 65536, (height, width, channels))
    # v / 257 rounded: no v lies half way, since 257 is odd
    truth = np.repeat((2 * samples + 257) // 514, 3 if channels == 1 else 1, 2)
    return png(samples, 16), truth.astype(np.uint8)


def over_black(rng, channels):
    samples = rng.integers(0, 256, (12, 17, channels))
    alpha = samples[..., -1:]
    truth = (samples[..., :-1] * alpha / 255).round()
    return png(samples, 8), np.repeat(truth, 3 if channels == 2 else 1, 2).astype(np.uint8)


def exif(rng):
    tag = Image.Exif()
    tag[0x0112] = 6  # turned by a quarter: to be ignored
    return as_jpeg(rng, quality=90, exif=tag.tobytes())


def grey(rng, form, **options):
    return saved(Image.fromarray(rgb(rng, channels=1)[..., 0]), form, **options)


def cmyk(rng):
    return saved(Image.fromarray(rgb(rng, channels=4), "CMYK"), "JPEG", quality=92)


def palette(rng):
    return saved(Image.fromarray(rgb(rng)).quantize(16), "PNG")


def bits(rng):
    return saved(Image.fromarray(rgb(rng, channels=1)[..., 0]).convert("1"), "PNG")


def sized(rng, height, width, form):
    return saved(Image.fromarray(rgb(rng, height, width)), form)


def cut(data, share):
    return data[:int(len(data) * share)]


# name, suffix, maker; a maker gives bytes, or (bytes, planes) where the truth is its own.
KINDS = [
    ("baseline", ".jpg", lambda r: as_jpeg(r, quality=90)),
    ("no subsampling", ".jpeg", lambda r: as_jpeg(r, quality=95, subsampling=0)),
    ("4:2:2", ".JPG", lambda r: as_jpeg(r, quality=80, subsampling=1)),
    ("progressive", ".jpg", lambda r: as_jpeg(r, quality=85, progressive=True)),
    ("grey", ".jpg", lambda r: grey(r, "JPEG", quality=90)),
    ("cmyk", ".jpg", cmyk),
    ("exif", ".jpg", exif),
    ("trailing bytes", ".jpg", lambda r: as_jpeg(r) + b"\0" * 100),
    ("png", ".png", lambda r: saved(Image.fromarray(rgb(r)), "PNG")),
    ("png named jpeg", ".JPEG", lambda r: saved(Image.fromarray(rgb(r)), "PNG")),
    ("jpeg named png", ".png", lambda r: as_jpeg(r)),
    ("grey png", ".png", lambda r: grey(r, "PNG")),
    ("palette", ".png", palette),
    ("one bit", ".png", bits),
    ("alpha", ".png", lambda r: over_black(r, 4)),
    ("grey alpha", ".png", lambda r: over_black(r, 2)),
    ("16 bit", ".png", lambda r: sixteen(r, 3)),
    ("16 bit grey", ".png", lambda r: sixteen(r, 1)),
    ("1x1 jpeg", ".jpg", lambda r: sized(r, 1, 1, "JPEG")),
    ("1x1 png", ".png", lambda r: sized(r, 1, 1, "PNG")),
]
RARE = [
    ("long", ".jpg", lambda r: sized(r, 30, 4000, "JPEG")),
    ("tall", ".png", lambda r: sized(r, 4000, 30, "PNG")),
]
BAD = [
    ("truncated jpeg", ".jpg", lambda r: cut(as_jpeg(r, quality=95), 0.7)),
    ("truncated progressive", ".jpg", lambda r: cut(as_jpeg(r, progressive=True), 0.8)),
    ("truncated png", ".png", lambda r: cut(saved(Image.fromarray(rgb(r)), "PNG"), 0.8)),
    ("empty", ".jpg", lambda r: b""),
    ("text", ".jpeg", lambda r: b"no picture at all\n" * 20),
    ("header alone", ".jpg", lambda r: as_jpeg(r)[:20]),
]


def kind_of(i):
    if i % 100 == 57:
        return RARE[i // 100 % len(RARE)] + (True,)
    if i % 40 == 13:
        return BAD[i // 40 % len(BAD)] + (False,)
    return KINDS[i % len(KINDS)] + (True,)


def main():
    folder = os.fsencode(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    rng = np.random.default_rng(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    told = []
    for i in range(count):
        name, suffix, make, good = kind_of(i)
        label = CLASSES[int(rng.integers(len(CLASSES)))] if i >= 14 else CLASSES[i % len(CLASSES)]
        split = b"val" if rng.random() < 0.2 else b"train"
        # sorted by bytes, "10" comes before "9" and "a.png" before "a0"
        path = b"/".join([split, label, b"%d%s" % (i, suffix.encode())])
        os.makedirs(os.path.join(folder, split, label), exist_ok=True)
        made = make(rng)
        data, truth = made if isinstance(made, tuple) else (made, None)
        with open(os.path.join(folder, path), "wb") as f:
            f.write(data)
        told.append({"path": path.hex(), "kind": name, "good": good,
                     "planes": None if truth is None else truth.tolist()})
    with open(folder + b".json", "w", encoding="ascii") as f:
        json.dump(told, f)


if __name__ == "__main__":
    main()
