#!/usr/bin/env python3
"""Measures reading pictures for training: sphynx's loader beside bare decoding, and beside
torchvision's DataLoader with as many workers, on the same JPEGs. Writes results/loader.

Makes the pictures (500x375 and 375x500, with the spectrum of photographs, of the mean size of
ImageNet's files) unless --pictures names a folder with train/CLASS/*. Needs python3-numpy and
python3-pil; the peer runs under --python, an interpreter with torch and torchvision, if given.

example: scripts/bench/loader --python venv/bin/python --rounds 5
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import page

SIDES, QUALITY = (375, 500), 92
PEER = r"""
import json, resource, sys, time
import PIL, torch, torchvision
from PIL import features
from torchvision import transforms as t
torch.set_num_threads(1)
folder, workers, size, batch, epochs = sys.argv[1], *map(int, sys.argv[2:6])
steps = t.Compose([t.RandomResizedCrop(size), t.RandomHorizontalFlip(), t.PILToTensor()])
loader = torch.utils.data.DataLoader(torchvision.datasets.ImageFolder(folder, steps), batch,
                                     shuffle=True, num_workers=workers, drop_last=True)
def cpu():
    return sum(u.ru_utime + u.ru_stime for u in map(
        resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
wall, used, images = time.perf_counter(), cpu(), 0
for _ in range(epochs):  # workers end with each epoch, and are counted then
    for x, _ in loader:
        images += len(x)
print(json.dumps({"images_per_second": images / (time.perf_counter() - wall),
                  "images_per_core_second": images / (cpu() - used),
                  "versions": "torch %s, torchvision %s, Pillow %s with libjpeg-turbo %s" % (
                      torch.__version__, torchvision.__version__, PIL.__version__,
                      features.version_feature("libjpeg_turbo"))}))
"""


def make_pictures(folder, count):
    import numpy as np
    from PIL import Image
    rng = np.random.default_rng(1)
    for i in range(count):
        h, w = SIDES if rng.random() < 0.75 else SIDES[::-1]
        frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None])
        amplitude = np.maximum(frequency, 1 / 500) ** -1.15

        def plane(deviation):
            phases = np.exp(2j * np.pi * rng.random(amplitude.shape))
            z = np.fft.irfft2(amplitude * phases, s=(h, w))
            return (z - z.mean()) / z.std() * deviation

        y, cb, cr = 120 + plane(55), plane(18), plane(18)
        rgb = np.stack([y + 1.402 * cr, y - 0.344 * cb - 0.714 * cr, y + 1.772 * cb], -1)
        to = os.path.join(folder, "train", "class%d" % (i % 4))
        os.makedirs(to, exist_ok=True)
        Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8)).save(
            os.path.join(to, "%05d.jpg" % i), quality=QUALITY)


def json_of(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def measure(args, folder, pack):
    """One entry a number of workers, of medians over rounds in turns."""
    metrics = {}
    for workers in args.workers:
        ours, peer = [], []
        for i in range(args.rounds):
            for which in (0, 1) if i % 2 == 0 else (1, 0):
                if which == 0:
                    ours.append(json_of([
                        args.sphynx, "bench", "loader", pack, "--images", str(args.images),
                        "--rounds", "2", "--workers", str(workers), "--json"]))
                elif args.python:
                    peer.append(json_of([args.python, "-c", PEER, os.path.join(folder, "train"),
                                         str(workers), "224", "64", "2"]))
        entry = {k: statistics.median(o[k] for o in ours) for k in (
            "images_per_second", "images_per_core_second", "limit_per_core_second",
            "share_of_limit", "resize_share")}
        entry["rounds"] = ours
        if peer:
            entry["peer"] = {k: statistics.median(o[k] for o in peer) for k in (
                "images_per_second", "images_per_core_second")}
            entry["peer"]["versions"] = peer[0]["versions"]
            entry["peer"]["rounds"] = peer
        metrics["workers_%d" % workers] = entry
        page.say(json.dumps({k: v for k, v in entry.items() if k != "rounds"}))
    return metrics


def rows_of(metrics):
    for name, e in page.cases_of(metrics):
        peer = e.get("peer")
        yield "| %s | %.0f | %.0f | %.2f | %.0f %% | %s | %s | %.0f | %s |" % (
            name.replace("workers_", ""), e["images_per_core_second"],
            e["limit_per_core_second"], e["share_of_limit"], 100 * e["resize_share"],
            "%.0f" % peer["images_per_core_second"] if peer else "-",
            "%.2f" % (e["images_per_core_second"] / peer["images_per_core_second"])
            if peer else "-", e["images_per_second"],
            "%.0f" % peer["images_per_second"] if peer else "-")


def write(args, metrics):
    peers = [e["peer"]["versions"] for _, e in page.cases_of(metrics) if "peer" in e]
    page.write_page(args, metrics, {"ROWS": "\n".join(rows_of(metrics)),
                                    "PEER": peers[0] if peers else "no peer"})


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--python", help="an interpreter with torch and torchvision, for the peer")
    p.add_argument("--pictures", metavar="DIR", help="JPEGs in DIR/train/CLASS/*")
    p.add_argument("--count", type=int, default=1024, help="pictures to make (1024)")
    p.add_argument("--images", type=int, default=768, help="pictures a measurement (768)")
    p.add_argument("--rounds", type=int, default=3, help="turns of each program (3)")
    p.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="in turn (0 2)")
    page.add_common(p, "loader", "loader")
    args = p.parse_args()
    page.choose_out(args, partial=not args.rewrite and (not args.python or args.count < 1024))
    if args.rewrite:
        write(args, page.load_metrics(args))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder, pack = args.pictures or os.path.join(scratch, "set"), os.path.join(scratch, "x.h5")
        began = time.monotonic()
        if not args.pictures:
            make_pictures(folder, args.count)
        subprocess.run([args.sphynx, "data", "pack", "imagefolder", folder, "-o", pack, "--store",
                        "original", "--test-fraction", "0.01"], check=True, stdout=sys.stderr)
        page.say("pictures made and packed in %.0f s" % (time.monotonic() - began))
        about = page.about_run(args)
        for place in filter(None, (args.python, args.sphynx, args.pictures, args.out)):
            about["command"] = about["command"].replace(place, os.path.basename(place))
        metrics = {"about": {**about, **page.about_machine()}, **measure(args, folder, pack)}
    page.write_metrics(args, metrics)
    write(args, metrics)


if __name__ == "__main__":
    main()
