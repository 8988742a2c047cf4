#!/usr/bin/env python3
"""Trains one network by sphynx and by PyTorch from the same weights on the same batches.

Called by scripts/bench/photo-patch, which builds first. For every seed PyTorch draws the weights,
sphynx begins with them, and PyTorch trains on the batches that `sphynx data batches` writes, by the
recipe written down there once more: whole trainings, whose accuracies are compared, and the first
steps at a rate so low that rounding grows slowly, whose losses are. What a run left in
build/photo-patch is not made again.
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

# As Tiny-ImageNet's networks, small enough for an hour a training of each program on one core; with
# fewer pictures the seeds of one program are further apart than the programs are to be.
NETWORK = {"size": 64, "channels": 2, "layers": 3, "reduce_at": [0, 1], "classes": 11}
PICTURES = {"classes": 11, "train": 400, "test": 300, "size": 64}
RECIPE = {"batch": 32, "epochs": 12, "lr": 0.05, "aux_weight": 0.4}
FIRST = 100  # losses that are to agree
SLOW = 1e-4  # rate at which rounding grows slowly enough in so many steps
CLOSE = 1e-3  # by how much
POINTS = 1.0  # by how much the means of the accuracies, in percent

WORK = os.path.join(ROOT, "build", "photo-patch")
SET, PACK = os.path.join(WORK, "set"), os.path.join(WORK, "pack.h5")


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--seeds", type=int, default=3, help="trainings of each program (3)")
    p.add_argument("--threads", type=int, default=1, help="of each program (1)")
    p.add_argument("--fresh", action="store_true", help="forget what an earlier run left")
    p.add_argument("--quick", action="store_true", help="no whole trainings: the first %d losses "
                   "alone" % FIRST)
    page.add_common(p, "photo-patch", "photo-patch-quick")
    args = p.parse_args()
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


def train_sphynx(args, trainer, seed, folder, most):
    """Every step's loss and every epoch's accuracy; ends after `most` steps, where given."""
    first, model = (os.path.join(folder, n) for n in ("first.h5", "first-model.h5"))
    run = os.path.join(folder, "sphynx")
    if not os.path.exists(model):
        trainer.save_weights(seed, first)
        sphynx(args, "import", first, "--out", model, "--data", PACK, "--classes",
               NETWORK["classes"], "--input", "3x%dx%d" % ((NETWORK["size"],) * 2),
               *network_options())
    sphynx(args, "train", "--data", PACK, "--out", run, "--resume", "--init-from", model,
           *network_options(), "--batch", RECIPE["batch"], "--epochs", RECIPE["epochs"], "--lr",
           trainer.recipe["lr"], "--schedule", "cosine-steps", "--aux-weight", RECIPE["aux_weight"],
           "--drop-path", 0, "--seed", seed, "--log-every", 1, "--max-steps",
           most or 0)
    with open(os.path.join(run, "metrics.jsonl")) as f:
        lines = [json.loads(line) for line in f]
    return {"losses": [e["loss"] for e in lines if "loss" in e],
            "top1": [e["test_top1"] for e in lines if "test_top1" in e]}


# ------------------------------------------------------------------ the page


def compare_losses(ours, exact, theirs):
    """How far the first losses of a seed are apart, and each program from float64."""
    apart = [abs(a - b) for a, b in zip(ours["losses"], theirs["losses"])]
    off = {who: max(abs(a - b) for a, b in zip(run["losses"], exact["losses"]))
           for who, run in (("sphynx", ours), ("pytorch", theirs))}
    return {"largest_difference": max(apart),
            "steps_within": next((i for i, d in enumerate(apart) if d > CLOSE), len(apart)),
            "sphynx_off_float64": off["sphynx"], "pytorch_off_float64": off["pytorch"],
            "sphynx_losses": ours["losses"], "pytorch_losses": theirs["losses"],
            "float64_losses": exact["losses"]}


def compare_whole(seeds, gate):
    """Means and deviations of the whole trainings, and the gate."""
    told = {}
    for who in ("sphynx", "pytorch"):
        top1 = [s[who + "_top1"] for s in seeds.values()]
        told[who] = {"mean": statistics.mean(top1),
                     "deviation": statistics.stdev(top1) if len(top1) > 1 else 0.0}
    least = min(s["sphynx_top1"] for s in seeds.values())
    told["difference"] = told["sphynx"]["mean"] - told["pytorch"]["mean"]
    told["gate"] = dict(gate, network=least,
                        passes=max(gate["linear"], gate["histogram"]) < least / 2)
    return told


def first_rows(metrics):
    return "\n".join("| %s | %.1e | %d | %.1e | %.1e |" % (
        name, s["largest_difference"], s["steps_within"], s["sphynx_off_float64"],
        s["pytorch_off_float64"]) for name, s in metrics["first"].items())


def whole_rows(metrics):
    if metrics["quick"]:
        return "| not measured (--quick) | | |"
    lines = ["| %s | %.2f | %.2f |" % (name, s["sphynx_top1"], s["pytorch_top1"])
             for name, s in metrics["whole"].items()]
    both = [metrics["result"][who][what] for who in ("sphynx", "pytorch")
            for what in ("mean", "deviation")]
    return "\n".join(lines + ["| mean ± deviation | %.2f ± %.2f | %.2f ± %.2f |" % tuple(both)])


def verdict(good):
    return "met" if good else "**missed**"


def write_page(args, metrics):
    r, worst = metrics.get("result"), max(
        s["largest_difference"] for s in metrics["first"].values())
    lines = ["First %d losses within %g: %.1e apart at most, %s." % (
        FIRST, CLOSE, worst, verdict(worst <= CLOSE))]
    if r is not None:
        gate = r["gate"]
        lines += [
            "Means of whole trainings within %g point: %.2f apart, %s." % (
                POINTS, r["difference"], verdict(abs(r["difference"]) <= POINTS)),
            "Are the pictures more than their colours? A linear classifier knows %.1f %%, a "
            "histogram of colours %.1f %%, chance %.1f %%; both are to stay below half of sphynx's "
            "worst network, %.1f %%: %s." % (
                gate["linear"], gate["histogram"], gate["chance"], gate["network"],
                verdict(gate["passes"]))]
    page.write_page(args, metrics, {
        "FIRST_ROWS": first_rows(metrics), "WHOLE_ROWS": whole_rows(metrics),
        "FIRST": str(FIRST), "CLOSE": "%g" % CLOSE, "SLOW": "%g" % SLOW,
        "VERDICTS": "\n".join("- " + line for line in lines),
        **{part.upper(): ", ".join("%s %s" % (k.replace("_", " "), v)
                                   for k, v in metrics[part].items())
           for part in ("pictures", "network", "recipe")}})


def runs_of(args, pytorch, seed, name, rate, most):
    """[sphynx's, PyTorch's, and of the first steps PyTorch's in float64] of a seed."""
    folder = os.path.join(WORK, "%s-seed%d" % (name, seed))
    os.makedirs(folder, exist_ok=True)
    steps = PICTURES["classes"] * PICTURES["train"] // RECIPE["batch"]
    trainer = pytorch.Trainer(NETWORK, dict(RECIPE, lr=rate), steps,
                              lambda *options: batches(args, folder, *options))
    kept = {k: os.path.join(folder, k) for k in ("sphynx", "pytorch", "float64")}
    told = [once(kept["sphynx"] + ".json",
                 lambda: train_sphynx(args, trainer, seed, folder, most)),
            once(kept["pytorch"] + ".json",
                 lambda: trainer.train(seed, kept["pytorch"] + ".pt", most))]
    if most:
        told.append(once(kept["float64"] + ".json", lambda: trainer.train(
            seed, kept["float64"] + ".pt", most, wide=True)))
    return told


def main():
    args = arguments()
    if args.rewrite:
        return write_page(args, page.load_metrics(args))
    import photo_patch_torch as pytorch  # here: pages are rewritten without PyTorch
    if args.fresh:
        shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK, exist_ok=True)
    metrics = {"about": {**page.about_run(args), "torch": pytorch.version(args.threads),
                         **page.about_machine(threads=args.threads)},
               "quick": args.quick, "pictures": PICTURES, "network": NETWORK, "recipe": RECIPE,
               "first": {}}
    gate = make_set(args)
    for seed in range(1, args.seeds + 1):
        ours, theirs, exact = runs_of(args, pytorch, seed, "first", SLOW, FIRST)
        metrics["first"]["seed %d" % seed] = compare_losses(ours, exact, theirs)
    if not args.quick:
        metrics["whole"] = {}
        for seed in range(1, args.seeds + 1):
            ours, theirs = runs_of(args, pytorch, seed, "whole", RECIPE["lr"], None)
            metrics["whole"]["seed %d" % seed] = {"sphynx_top1": 100 * ours["top1"][-1],
                                                  "pytorch_top1": 100 * theirs["top1"][-1]}
        metrics["result"] = compare_whole(metrics["whole"], gate)
    page.write_metrics(args, metrics)
    write_page(args, metrics)
    return 0


if __name__ == "__main__":
    sys.exit(main())
