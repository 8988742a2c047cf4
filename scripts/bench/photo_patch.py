#!/usr/bin/env python3
"""Trains one network by sphynx and by PyTorch from the same weights on the same batches.

Called by scripts/bench/photo-patch, which builds first. For every seed PyTorch draws the weights,
sphynx begins with them, and PyTorch trains on the batches that `sphynx data batches` writes, by the
recipe written down there once more. Every step's loss and the accuracy on all test pictures are
kept; what a run left in build/photo-patch is not made again.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys

import page
from page import ROOT, say

# As Tiny-ImageNet's networks, small enough for minutes on one core.
NETWORK = {"size": 64, "channels": 2, "layers": 3, "reduce_at": [0, 1], "classes": 11}
PICTURES = {"classes": 11, "train": 120, "test": 90, "size": 64}
RECIPE = {"batch": 16, "epochs": 8, "lr": 0.03, "aux_weight": 0.4}
FIRST = 100   # losses that are to agree
SLOW = 0.003  # rate at which rounding grows slowly enough in so many steps
CLOSE = 1e-3  # by how much
POINTS = 1.0  # by how much the means of the accuracies, in percent

WORK = os.path.join(ROOT, "build", "photo-patch")
SET, PACK = os.path.join(WORK, "set"), os.path.join(WORK, "pack.h5")


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--seeds", type=int, default=3, help="trainings of each program (3)")
    p.add_argument("--threads", type=int, default=1, help="of each program (1)")
    p.add_argument("--fresh", action="store_true", help="forget what an earlier run left")
    p.add_argument("--quick", action="store_true", help="the losses alone: %d steps at a "
                   "rate of %g" % (FIRST, SLOW))
    page.add_common(p, "photo-patch", "photo-patch-quick")
    args = p.parse_args()
    if args.quick:
        RECIPE["lr"] = SLOW
    page.choose_out(args, args.quick)
    return args


def sphynx(args, *words):
    command = [args.sphynx, *map(str, words), "--threads", str(args.threads), "--json"]
    say("$ sphynx " + " ".join(command[1:]))
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(done.stdout)


def once(path, make):
    """What make() gives, as JSON in path; from there where it is."""
    if os.path.exists(path):
        with open(path) as f:
            return json.load(f)
    made = make()
    page.write(path, json.dumps(made))
    return made


# ------------------------------------------------------------------ the set


def make_set(args):
    """The pack, and what simple classifiers make of the pictures."""
    data = os.path.join(ROOT, "scripts", "data", "photo-patch")
    if not os.path.exists(SET):
        options = [o for k, v in PICTURES.items() for o in ("--" + k, str(v))]
        subprocess.run([data, SET, *options], check=True)
    if not os.path.exists(PACK):
        sphynx(args, "data", "pack", "imagefolder", SET, "-o", PACK, "--store",
               "raw:%d" % PICTURES["size"])
    return once(os.path.join(WORK, "gate.json"), lambda: json.loads(
        subprocess.run([data + "-gate", SET], stdout=subprocess.PIPE, check=True).stdout))


# ------------------------------------------------------------------ sphynx


def batches(args, folder, *options):
    """The file of batches that a training with this recipe sees."""
    path = os.path.join(folder, "batches.h5")
    sphynx(args, "data", "batches", PACK, "--batch", RECIPE["batch"], "-o", path, *options)
    return path


def network_options():
    return ["--init-channels", NETWORK["channels"], "--layers", NETWORK["layers"], "--reduce-at",
            ",".join(map(str, NETWORK["reduce_at"]))]


def train_sphynx(args, trainer, seed, folder):
    first, model = (os.path.join(folder, n) for n in ("first.h5", "first-model.h5"))
    run = os.path.join(folder, "sphynx")
    if not os.path.exists(model):
        trainer.save_weights(seed, first)
        sphynx(args, "import", first, "--out", model, "--data", PACK, "--classes",
               NETWORK["classes"], "--input", "3x%dx%d" % ((NETWORK["size"],) * 2),
               *network_options())
    sphynx(args, "train", "--data", PACK, "--out", run, "--resume", "--init-from", model,
           *network_options(), "--batch", RECIPE["batch"], "--epochs", RECIPE["epochs"], "--lr",
           RECIPE["lr"], "--schedule", "cosine-steps", "--aux-weight", RECIPE["aux_weight"],
           "--drop-path", 0, "--seed", seed, "--log-every", 1, "--max-steps",
           FIRST if args.quick else 0)
    with open(os.path.join(run, "metrics.jsonl")) as f:
        lines = [json.loads(line) for line in f]
    return {"losses": [e["loss"] for e in lines if "loss" in e],
            "top1": [e["test_top1"] for e in lines if "test_top1" in e]}


# ------------------------------------------------------------------ the page


def compare(runs, gate):
    """Of the metrics what each seed gave, and what they come to."""
    seeds = {}
    for seed, (ours, exact, theirs) in runs.items():
        apart = [abs(a - b) for a, b in zip(ours["losses"][:FIRST], theirs["losses"])]
        off = {who: [abs(a - b) for a, b in zip(run["losses"], exact["losses"])]
               for who, run in (("sphynx", ours), ("pytorch", theirs))}
        seeds["seed %d" % seed] = {
            "steps_within": next((i for i, d in enumerate(apart) if d > CLOSE), len(apart)),
            "sphynx_off_float64": max(off["sphynx"]), "pytorch_off_float64": max(off["pytorch"]),
            "float64_losses": exact["losses"],
            "losses_compared": len(apart), "largest_difference": max(apart),
            "sphynx_top1": 100 * ours["top1"][-1], "pytorch_top1": 100 * theirs["top1"][-1],
            "sphynx_losses": ours["losses"][:FIRST], "pytorch_losses": theirs["losses"][:FIRST]}
    cases = list(seeds.values())
    told = {"first": FIRST, "largest_difference": max(c["largest_difference"] for c in cases)}
    for who in ("sphynx", "pytorch"):
        top1 = [c[who + "_top1"] for c in cases]
        told[who] = {"mean": statistics.mean(top1),
                     "deviation": statistics.stdev(top1) if len(top1) > 1 else 0.0}
    least = min(c["sphynx_top1"] for c in cases)
    told["difference"] = told["sphynx"]["mean"] - told["pytorch"]["mean"]
    told["gate"] = dict(gate, network=least,
                        passes=max(gate["linear"], gate["histogram"]) < least / 2)
    return {"seeds": seeds, "result": told}


def rows(metrics):
    lines = ["| %s | %.1e | %d | %.1e | %.1e | %.2f | %.2f |" % (
        name, c["largest_difference"], c["steps_within"], c["sphynx_off_float64"],
        c["pytorch_off_float64"], c["sphynx_top1"], c["pytorch_top1"])
             for name, c in metrics["seeds"].items()]
    both = [metrics["result"][who][what] for who in ("sphynx", "pytorch")
            for what in ("mean", "deviation")]
    last = "| mean ± deviation | | | | | %.2f ± %.2f | %.2f ± %.2f |" % tuple(both)
    return "\n".join(lines + [last])


def verdict(good, quick=False):
    return "not measured (--quick)" if quick else "met" if good else "**missed**"


def write_page(args, metrics):
    r = metrics["result"]
    gate = r["gate"]
    page.write_page(args, metrics, {
        "ROWS": rows(metrics), "FIRST": str(r["first"]), "CLOSE": "%g" % CLOSE,
        "LOSSES": verdict(r["largest_difference"] <= CLOSE), "POINTS": "%g" % POINTS,
        "MEANS": verdict(abs(r["difference"]) <= POINTS, metrics["quick"]),
        "APART": "%.2f" % r["difference"],
        "LINEAR": "%.1f" % gate["linear"], "HISTOGRAM": "%.1f" % gate["histogram"],
        "CHANCE": "%.1f" % gate["chance"], "LEAST": "%.1f" % gate["network"],
        "GATE": verdict(gate["passes"], metrics["quick"]),
        **{part.upper(): ", ".join("%s %s" % (k.replace("_", " "), v)
                                   for k, v in metrics[part].items())
           for part in ("pictures", "network", "recipe")}})


def main():
    args = arguments()
    if args.rewrite:
        return write_page(args, page.load_metrics(args))
    import photo_patch_torch as pytorch  # here: pages are rewritten without PyTorch
    if args.fresh:
        shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK, exist_ok=True)
    about = {**page.about_run(args), "torch": pytorch.version(args.threads),
             **page.about_machine(threads=args.threads)}
    gate, runs = make_set(args), {}
    steps = PICTURES["classes"] * PICTURES["train"] // RECIPE["batch"]
    for seed in range(1, args.seeds + 1):
        folder = os.path.join(WORK, "%s-seed%d" % ("quick" if args.quick else "whole", seed))
        os.makedirs(folder, exist_ok=True)
        trainer = pytorch.Trainer(NETWORK, RECIPE, steps,
                                  lambda *options: batches(args, folder, *options))
        runs[seed] = [once(os.path.join(folder, name + ".json"), train) for name, train in (
            ("sphynx", lambda: train_sphynx(args, trainer, seed, folder)),
            ("float64", lambda: trainer.train(seed, os.path.join(folder, "float64.pt"), FIRST,
                                              wide=True)),
            ("pytorch", lambda: trainer.train(seed, os.path.join(folder, "pytorch.pt"),
                                                 FIRST if args.quick else None)))]
    metrics = {"about": about, "quick": args.quick, "pictures": PICTURES, "network": NETWORK,
               "recipe": RECIPE}
    metrics.update(compare(runs, gate))
    page.write_metrics(args, metrics)
    write_page(args, metrics)
    return 0


if __name__ == "__main__":
    sys.exit(main())
