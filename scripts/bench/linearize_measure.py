#!/usr/bin/env python3
"""Trains base models, makes each do with fewer ReLUs by every method and by masks drawn by chance,
all with the same teacher and as many steps, and compares them in pairs.

Called by scripts/bench/linearize, which builds first. Every finished row goes to metrics.json at
once; what the folder of work holds is not made again.
"""
import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys

import page
import stats
from page import ROOT, say

SET = "/usr/share/datasets/fashion-mnist"
# An epoch is of so many steps, of images drawn anew: masks are chosen epoch by epoch, and there are
# to be some. Learning rates are of the batch.
WHOLE = {"input": "1x32x32", "network": "resnet18,width=16,stem_relu=0", "relus": 122880,
         "budgets": [12288, 6144], "batch": 64, "epoch_steps": 94, "base": 10, "first": 5,
         "second": 3, "lr": 0.05, "every": 20, "mask_lr": 0.01, "mask_penalty": 3e-5,
         "mask_growth": 2}
TOY = {**WHOLE, "network": "resnet18,width=1,stem_relu=0", "relus": 7680, "budgets": [768, 384],
       "batch": 8, "epoch_steps": 4, "base": 2, "first": 2, "second": 1, "every": 2}
COMMON = ("--weight-decay 5e-4 --momentum 0.9 --clip 0 --pad-crop 2 --cutout 0 "
          "--log-every 0 --eval-every 1000")
PRUNE = "--val-fraction 0.05"  # what it measures is not used
BASE = "--schedule one-cycle --lr 0.1 --warmup 20%"
STAGES = "--attention-weight 1000 --attention-at stages.1,stages.2,stages.3"
# The published shares for 50,000 of a ResNet-18's ReLUs, but for the stem's, scaled to the budget.
SHARES = ".025,.03,.025,.025,.05,.05,.05,.05,.25,.25,.25,.25,.5,.6,.6,.6"
TAUGHT = 1.5  # what a step beside a teacher takes, in steps without
WITHIN, LEVEL, ALPHA = 2.0, 0.95, 0.05  # points; of intervals; of tests
FULL, RELUPRUNER = "full", "relupruner"
CHANCE = ("uniform masks", "random masks")  # what relupruner is to beat
SMALLER = (RELUPRUNER, CHANCE[1])  # at the smaller budgets, too
METHODS = {}  # name: (what it is, make(bench, budget, base) -> folder of the trained model)


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--bases", type=int, default=6, help="base models, each with all methods (6)")
    p.add_argument("--only", action="append", metavar="METHOD", help="may be given several times")
    p.add_argument("--threads", type=int, default=1, help="of each training (1)")
    p.add_argument("--plan", action="store_true", help="only say what is to be done and how long")
    p.add_argument("--toy", action="store_true", help="a network of a few ReLUs, a few steps")
    p.add_argument("--data", metavar="PACK", help="in place of Fashion-MNIST (with --toy)")
    p.add_argument("--work", metavar="DIR", help="what runs leave (build/linearize)")
    page.add_common(p, "linearize", "linearize-toy")
    args = p.parse_args()
    unknown = [m for m in args.only or () if m not in METHODS]
    if unknown:
        p.error("method '%s': there are %s" % (unknown[0], ", ".join(METHODS)))
    if args.data and not args.toy:
        p.error("--data needs --toy")
    args.sphynx = os.path.abspath(args.sphynx)
    args.work = args.work or os.path.join(ROOT, "build", "linearize" + ("-toy" if args.toy else ""))
    page.choose_out(args, args.toy)
    return args


# ------------------------------------------------------------------------- the program


class Bench:
    """Runs the program within a folder of work."""

    def __init__(self, args):
        self.args, self.task = args, TOY if args.toy else WHOLE

    def sphynx(self, *words, to=None):
        command = [self.args.sphynx, *map(str, words), "--threads", str(self.args.threads)]
        say("$ sphynx " + " ".join(command[1:]))
        done = subprocess.run(command + ["--json"], stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            sys.exit("linearize: sphynx %s ended with %d; call again to go on" % (
                words[0], done.returncode))
        if to is not None:
            page.write(to, done.stdout.decode())

    def json_once(self, path, *words):
        if not os.path.exists(path):
            self.sphynx(*words, to=path)
        return self.read(path)

    def folder(self, *parts):
        path = os.path.join(self.args.work, *map(str, parts))
        os.makedirs(path, exist_ok=True)
        return path

    def data(self):
        path = self.args.data or os.path.join(self.args.work, "data.h5")
        if not os.path.exists(path):
            self.folder()
            self.sphynx("data", "pack", "fashion-mnist", SET, "-o", path)
        return path

    def train(self, folder, seed, epochs, *words):
        """Trains where that is not done."""
        if not os.path.exists(os.path.join(folder, "result.json")):
            self.sphynx("train", "--data", self.data(), "--out", folder, "--resume", "--batch",
                        self.task["batch"], "--epoch-steps", self.task["epoch_steps"], "--seed",
                        seed, "--epochs", epochs, *COMMON.split(), *words)
        return folder

    def network(self):
        return ["--network", self.task["network"], "--input", self.task["input"]]

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8") as f:
            return json.load(f)


# ------------------------------------------------------------------------- the methods


def method(name, about):
    def add(make):
        METHODS[name] = (about, make)
        return make
    return add


@method(FULL, "the base model with all its ReLUs, which is every other's beginning and teacher")
def full(bench, budget, base):
    return bench.train(bench.folder(base, "base"), base, bench.task["base"], *bench.network(),
                       *BASE.split())


def constant(bench):
    return ["--schedule", "step", "--lr-factor", 1, "--lr", bench.task["lr"]]


def falling(bench):
    """The second stage's rate, as train --linearize has it."""
    at = sorted({bench.task["second"] * part // 8 for part in (5, 6, 7)} - {0})
    return ["--schedule", "step", "--lr-factor", 0.1, "--lr", bench.task["lr"], "--milestones",
            ",".join(map(str, at or [1000]))]


def taught(bench, base):
    return ["--teacher", full(bench, None, base), "--distill-weight", 0.5]


def linearized(bench, name, budget, base, *words):
    folder = bench.folder(base, "%s-%d" % (name, budget))
    return bench.train(folder, base, bench.task["first"], "--linearize", name, "--relu-budget",
                       budget, "--init-from", full(bench, budget, base), *taught(bench, base),
                       "--fine-tune-epochs", bench.task["second"], "--fine-tune-lr",
                       bench.task["lr"], *constant(bench), *STAGES.split(), *words)


@method(RELUPRUNER, "positions scored in every step, ever fewer kept, of all layers together")
def relupruner(bench, budget, base):
    return linearized(bench, "relupruner", budget, base, "--linearize-after", 0,
                      "--linearize-every", bench.task["every"])


def drawn(bench, name, budget, base, *by):
    """Masks of chance, then the linearizers' two stages with them."""
    folder, task = bench.folder(base, "%s-%d" % (name.replace(" ", "-"), budget)), bench.task
    pruned = os.path.join(folder, "pruned.h5")
    bench.json_once(os.path.join(folder, "prune.json"), "prune", "--model",
                    full(bench, budget, base), "--data", bench.data(), "--granularity", "pixel",
                    "--random", *by, "-o", pruned, "--seed", base, *PRUNE.split())
    first = bench.train(os.path.join(folder, "first"), base, task["first"], *bench.network(),
                        "--init-from", pruned, *taught(bench, base), *constant(bench))
    return bench.train(os.path.join(folder, "second"), base, task["second"], *bench.network(),
                       "--init-from", first, *taught(bench, base), *STAGES.split(),
                       *falling(bench))


@method(CHANCE[0], "positions drawn by chance from the whole network, about a share of every layer")
def uniform(bench, budget, base):
    return drawn(bench, CHANCE[0], budget, base, "--relu-budget", budget)


@method(CHANCE[1], "positions drawn by chance, of every layer as many as relupruner kept there")
def random(bench, budget, base):
    return drawn(bench, CHANCE[1], budget, base, "--like", relupruner(bench, budget, base))


@method("senet", "of every layer a published share, the positions farthest from the teacher's")
def senet(bench, budget, base):
    return linearized(bench, "senet", budget, base, "--linearize-after", 1,
                      "--keep-shares", SHARES)


@method("snl", "masks trained as numbers with a penalty on their sum, then the largest kept")
def snl(bench, budget, base):
    return linearized(bench, "snl", budget, base, "--linearize-after", 0,
                      "--mask-lr", bench.task["mask_lr"], "--mask-penalty",
                      bench.task["mask_penalty"], "--mask-growth", bench.task["mask_growth"])


# ---------------------------------------------------------------------------- the rows


def jobs(args, task):
    """(base, method, budget), the smaller budget behind all of the larger one's."""
    names = [m for m in METHODS if not args.only or m in args.only]
    for base, budget in itertools.product(range(1, args.bases + 1), task["budgets"]):
        for name in names:
            if budget == task["budgets"][0] or name in SMALLER:
                yield base, name, None if name == FULL else budget


def row_of(bench, base, name, budget):
    run = METHODS[name][1](bench, budget, base)
    told = bench.read(os.path.join(run, "result.json"))
    counted = bench.json_once(os.path.join(run, "inspect.json"), "inspect", "--model", run)
    if budget is not None and told["relus"] != budget:
        sys.exit("linearize: %s: %d ReLUs, not %d" % (name, told["relus"], budget))
    return {"relus": told["relus"],
            "interactive_positions": counted.get("interactive_positions", told["relus"]),
            "top1": told["top1"], "steps": epochs_of(bench.task, name) * bench.task["epoch_steps"],
            "host": page.about_machine()["cpu"],
            "commit": page.output_of("git", "describe", "--always", "--abbrev=12", "--dirty",
                                     "--exclude=*")}


def values(rows, name, budget):
    """{base: top-1 in percent}"""
    return {r["base"]: 100 * r["top1"] for r in rows
            if (r["method"], r["relu_budget"]) == (name, budget)}


def contrasts(rows, budgets):
    """relupruner against each other method, in pairs; tests of those drawn by chance alone."""
    found = []
    for budget in budgets:
        ours, tested = values(rows, RELUPRUNER, budget), []
        for name in METHODS:
            theirs = values(rows, name, None if name == FULL else budget)
            both = sorted(set(ours) & set(theirs))
            if name == RELUPRUNER or len(both) < 2:
                continue
            d = stats.paired([ours[b] for b in both], [theirs[b] for b in both], LEVEL)
            c = {"name": "%s - %s" % (RELUPRUNER, name), "relu_budget": budget, "pairs": len(both),
                 "difference": d["difference"], "low": d["low"], "high": d["high"], "p_holm": None}
            found.append(c)
            if name in CHANCE:
                tested.append((c, d["p_greater"]))
        for (c, _), p in zip(tested, stats.holm([p for _, p in tested])):
            c["p_holm"] = p
    return found


# ---------------------------------------------------------------------------- the page


def summary(metrics):
    for budget in [None, *metrics["task"]["budgets"]]:
        for name in METHODS:
            rows = [r for r in metrics["rows"]
                    if (r["method"], r["relu_budget"]) == (name, budget)]
            if rows:
                top1 = [100 * r["top1"] for r in rows]
                spread = " ± %.2f" % statistics.stdev(top1) if len(top1) > 1 else ""
                yield "| %s | %d | %d | %.2f%s | %d |" % (
                    name, rows[0]["relus"],
                    statistics.median(r["interactive_positions"] for r in rows),
                    statistics.mean(top1), spread, len(top1))


def verdict(good):
    return "met" if good else "**missed**"


def verdicts(metrics):
    """What the first budget is to show."""
    budget = metrics["task"]["budgets"][0]
    by = {c["name"].split(" - ")[1]: c for c in metrics["contrasts"]
          if c["relu_budget"] == budget}
    if FULL in by:
        c = by[FULL]
        yield "Within %g points of the full network: %.2f below it (%.2f to %.2f), %s." % (
            WITHIN, -c["difference"], -c["high"], -c["low"], verdict(-c["difference"] <= WITHIN))
    for name in CHANCE:
        if name in by:
            c = by[name]
            yield "Better than %s, p below %g: %.2f points (%.2f to %.2f), p = %.2g, %s." % (
                name, ALPHA, c["difference"], c["low"], c["high"], c["p_holm"],
                verdict(c["p_holm"] < ALPHA))


def write_page(args, metrics):
    task, told = metrics["task"], list(verdicts(metrics))
    tests = ["| %s | %d | %d | %.2f | %.2f to %.2f | %s |" % (
        c["name"], c["relu_budget"], c["pairs"], c["difference"], c["low"], c["high"],
        "" if c["p_holm"] is None else "%.2g" % c["p_holm"]) for c in metrics["contrasts"]]
    each = ["| %d | %s | %s | %.2f |" % (r["base"], r["method"], r["relu_budget"] or "",
                                        100 * r["top1"]) for r in metrics["rows"]]
    page.write_page(args, metrics, {
        "VERDICTS": "\n".join("- " + t for t in told) or "Too few base models so far.",
        "ROWS": "\n".join(summary(metrics)), "EACH": "\n".join(each),
        "CONTRASTS": "\n".join(tests) or "| none yet | | | | | |",
        "METHODS": "\n".join("- **%s**: %s." % (n, m[0]) for n, m in METHODS.items()),
        **{k.upper(): str(task[k]) for k in ("network", "input", "relus", "batch", "epoch_steps",
                                             "base", "first", "second", "lr")}})


def save(args, metrics):
    metrics["contrasts"] = contrasts(metrics["rows"], metrics["task"]["budgets"])
    page.write_metrics(args, metrics)
    write_page(args, metrics)


# ---------------------------------------------------------------------------- the plan


def missing(bench, rows):
    """The jobs that have no row."""
    there = {(r["base"], r["method"], r["relu_budget"]) for r in rows}
    return [j for j in jobs(bench.args, bench.task) if j not in there]


def epochs_of(task, name):
    return task["base"] if name == FULL else task["first"] + task["second"]


def plan(bench, rows):
    """Says what is missing and how long that takes, by a step measured now."""
    task, args = bench.task, bench.args
    done = subprocess.run(
        [args.sphynx, "bench", "train-step", *bench.network(), "--classes", "10", "--batch",
         str(task["batch"]), "--steps", "3", "--threads", str(args.threads), "--json"],
        stdout=subprocess.PIPE, check=True)
    epoch = json.loads(done.stdout)["seconds_median"] * task["epoch_steps"]
    total = 0.0
    for base, todo in itertools.groupby(missing(bench, rows), lambda job: job[0]):
        epochs = [epochs_of(task, name) * (1 if name == FULL else TAUGHT) for _, name, _ in todo]
        hours = sum(epochs) * epoch / 3600
        say("base %d: %d trainings to do, %.2f h" % (base, len(epochs), hours))
        total += hours
    say("together about %.1f h on %d thread%s of this machine, as busy as it is now" % (
        total, args.threads, "" if args.threads == 1 else "s"))


def main():
    args = arguments()
    if args.rewrite:
        return write_page(args, page.load_metrics(args))
    bench = Bench(args)
    metrics = {"about": {**page.about_run(args), **page.about_machine(threads=args.threads)},
               "task": bench.task, "rows": []}
    if os.path.exists(page.metrics_path(args)):
        there = page.load_metrics(args)
        if there["task"] != bench.task:
            sys.exit("linearize: %s is of other lengths; give another --out, or remove it" %
                     page.metrics_path(args))
        metrics["rows"] = there["rows"]
    plan(bench, metrics["rows"])
    if args.plan:
        return 0
    for base, name, budget in missing(bench, metrics["rows"]):
        metrics["rows"].append({"base": base, "method": name, "relu_budget": budget,
                                **row_of(bench, base, name, budget)})
        save(args, metrics)
    return 0


if __name__ == "__main__":
    sys.exit(main())
