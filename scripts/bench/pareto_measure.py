#!/usr/bin/env python3
"""Which network for how many ReLUs, and how sure: trains every method's networks within equal
budgets and steps, makes them integers, asks them privately, and compares.

Called by scripts/bench/pareto, which builds first. Every finished unit goes to metrics.json at
once. What that file or build/pareto holds is not made again; what is under way when it is ended
goes on.
"""
import argparse
import collections
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time

import page
import pareto_arms
import pareto_page
from page import ROOT, say

COMMON = {
    "batch": 64, "epochs": 15, "epoch_steps": 100, "max_layers": 10, "finalists": 8,
    "set_aside": 10000,
    # Units of a method at each budget; those that --full adds.
    "units": {"5120": 10, "10240": 6}, "full_units": {"20480": 3}, "pilot_units": 3,
    "train": "--schedule cosine-steps --pad-crop 2",
    "cells": "--aux-weight 0 --drop-path 0",  # what other networks have not
    "lr": "0.05", "lr_after": "0.02",
    "search": "--init-channels 4 --layers 5 --batch 64 --epochs 1 --alpha-lr 6e-3 "
              "--validate-images 1000",
    "search_steps": 300,  # but in a selection: as many as its images make
    "relu_ops": "--init-channels 1 --layers 5 --reduce-at 0,2",
    "prune": "--max-depth 12 --val-fraction 0.02",
    "prune_random": "--images 256 --val-fraction 0.001",  # measures what it does not use
    # Positions of the base's ReLUs behind the stem: four of each stage.
    "base": "resnet18,width=8",
    "base_counts": [n for n in (8192, 4096, 2048, 1024) for _ in range(4)],
    "linear": "deepreduce,cull=1+2+3+4,alpha=0.125",
    # No teacher for any method: a linearization asks for one, whose part of its loss is 0.
    "linearize": "--lr 0.02 --fine-tune-lr 0.02 --pad-crop 2 --distill-weight 0 "
                 "--attention-weight 0",
    "relupruner": "--linearize-after 0 --linearize-every 25",
    "deepreduce": {"5120": "deepreduce,cull=1,thin=1,alpha=0.0625,blocks=1+1+2+2",
                   "10240": "deepreduce,cull=1,thin=1,alpha=0.125,blocks=1+1+2+2",
                   "20480": "deepreduce,cull=1,thin=1,alpha=0.25,blocks=1+1+2+2"},
    "cryptonas": {"5120": "cnet,layers=5,width=1,skips=all",
                  "10240": "cnet,layers=5,width=2,skips=all",
                  "20480": "cnet,layers=10,width=2,skips=all"},
}
TASKS = {
    "fashion-mnist": {
        **COMMON, "pack": ["fashion-mnist", "/usr/share/datasets/fashion-mnist"],
        "input": "1x32x32", "classes": 10},
    "photo-patch": {
        **COMMON, "pack": ["imagefolder", "PICTURES", "--store", "raw:32"],
        "pictures": "--classes 23 --train 600 --test 200 --size 32", "set_aside": 2300,
        "input": "3x32x32", "classes": 23},
}
MAIN = "fashion-mnist"
SEARCH = "supernet-step"  # of sphynx bench
LATER = 3  # another set's first units come with the main one's fourth
# At lengths where the figures mean nothing: all of it in a couple of minutes.
TOY = {"epochs": 5, "epoch_steps": 8, "search_steps": 2, "units": {"5120": 2, "10240": 1},
       "pilot_units": 1,
       "finalists": 3, "set_aside": 100, "images": {"train": 1200, "t10k": 100},
       "search": "--init-channels 2 --layers 3 --batch 64 --epochs 1 --validate-images 16",
       "prune": "--max-depth 12 --images 64 --val-fraction 0.1", "prune_random": "",
       "pictures": "--classes 23 --train 40 --test 4 --size 32",
       "relupruner": "--linearize-after 0 --linearize-every 2"}

Job = collections.namedtuple("Job", "bench pilot name budget unit")
Job.__str__ = lambda j: "%s, %s%s, %d ReLUs, unit %d" % (
    j.bench.name, "pilot: " if j.pilot else "", j.name, j.budget, j.unit)


class Failed(Exception):
    """A command of a unit did not end well; other units go on."""


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--methods", help="these alone, with semicolons (default: all)")
    p.add_argument("--units", type=int, help="at most so many a method")
    p.add_argument("--jobs", type=int, default=os.cpu_count(),
                   help="trainings at once, of a thread each (default: a processor each)")
    p.add_argument("--full", action="store_true",
                   help="also larger budgets and the colour set: a day or more")
    p.add_argument("--no-pilot", action="store_true", help="the main design alone")
    p.add_argument("--plan", action="store_true", help="print the plan and its hours alone")
    p.add_argument("--toy", action="store_true", help="lengths at which the figures mean nothing")
    p.add_argument("--work", metavar="DIR", help="folder of the trainings: build/pareto")
    page.add_common(p, "pareto", "pareto-part")
    args = p.parse_args()
    args.methods = args.methods.split(";") if args.methods else list(pareto_arms.METHODS)
    unknown = set(args.methods) - set(pareto_arms.METHODS)
    if unknown:
        p.error("--methods: no %s; there are %s" % (", ".join(sorted(unknown)),
                                                    "; ".join(pareto_arms.METHODS)))
    args.sphynx = os.path.abspath(args.sphynx)
    args.work = os.path.abspath(args.work or os.path.join(
        ROOT, "build", "pareto-toy" if args.toy else "pareto"))
    page.choose_out(args, args.toy)
    return args


def first_images(source, out, count):
    """The first images of each split of a folder of IDX files, as such a folder."""
    os.makedirs(out, exist_ok=True)
    for split, n in count.items():
        for kind, head, size in (("images-idx3", 16, 28 * 28), ("labels-idx1", 8, 1)):
            name = "%s-%s-ubyte.gz" % (split, kind)
            with gzip.open(os.path.join(source, name)) as f:
                header, rest = f.read(head), f.read(n * size)
            with gzip.open(os.path.join(out, name), "wb") as f:
                f.write(header[:4] + n.to_bytes(4, "big") + header[8:] + rest)
    return out


class Bench:
    """Runs the program in the folder of a task; see pareto_arms."""

    def __init__(self, args, name):
        self.args, self.name, self.task = args, name, dict(TASKS[name])
        self.work = os.path.join(args.work, name)
        if args.toy:
            self.task.update(TOY)
        if args.full:
            self.task["units"] = {**self.task["units"], **self.task["full_units"]}

    def budgets(self):
        return [int(b) for b in self.task["units"]]

    def units(self, budget):
        n = self.task["units"][str(budget)]
        return range(1, min(n, self.args.units or n) + 1)

    def epochs(self, share):
        return max(1, round(share * self.task["epochs"]))

    def folder(self, name, unit):
        path = os.path.join(self.work, name, str(unit))
        os.makedirs(path, exist_ok=True)
        return path

    def sphynx(self, *words, to=None, threads=1):
        command = [self.args.sphynx, *map(str, words), "--threads", str(threads)]
        say("$ sphynx " + " ".join(command[1:]))
        done = subprocess.run(command + ["--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False)
        if done.returncode != 0:
            last = done.stderr.decode(errors="replace").strip().split("\n")[-1]
            raise Failed(last.replace(self.work + os.sep, ""))
        if to is not None:
            page.write(to, done.stdout.decode())
        return done.stdout.decode()

    def json_once(self, path, *words):
        if not os.path.exists(path):
            self.sphynx(*words, to=path)
        return self.read(path)

    def train_once(self, folder, *words, lr=None):
        if os.path.exists(os.path.join(folder, "result.json")):
            return
        own = [] if "--linearize" in words else [
            "--input", self.task["input"], "--lr", lr or self.task["lr"],
            *self.task["train"].split(),
            *([] if "--network" in words else self.task["cells"].split())]
        self.sphynx("train", "--data", self.data(), "--out", folder, "--resume", "--batch",
                    self.task["batch"], "--epoch-steps", self.task["epoch_steps"], "--eval-every",
                    1000, *own, *words)

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8") as f:
            return json.load(f)

    @staticmethod
    def text(value):
        return json.dumps(value, indent=1) + "\n"

    write = staticmethod(page.write)

    def data(self):
        return os.path.join(self.work, "data.h5")

    def make_data(self):
        words, pictures = list(self.task["pack"]), os.path.join(self.work, "pictures")
        if os.path.exists(self.data()):
            return
        os.makedirs(self.work, exist_ok=True)
        if "images" in self.task and self.name == MAIN:
            words[-1] = first_images(words[-1], os.path.join(self.work, "few"), self.task["images"])
        if "pictures" in self.task and "PICTURES" in words:
            words[words.index("PICTURES")] = pictures
            shutil.rmtree(pictures, ignore_errors=True)
            subprocess.run([os.path.join(ROOT, "scripts", "data", "photo-patch"), pictures,
                            *self.task["pictures"].split()], check=True, stdout=sys.stderr)
        self.sphynx("data", "pack", *words, "-o", self.data())

    def recipe(self):
        """The common options as a recipe file, for what trains by itself."""
        path = os.path.join(self.work, "recipe.ini")
        words = " ".join([self.task["train"], self.task["cells"], "--lr", self.task["lr"]]).split()
        lines = ["%s = %s" % (k[2:], v) for k, v in zip(words[::2], words[1::2])]
        page.write(path, "[train]\nbatch = %d\nepoch-steps = %d\n%s\n" % (
            self.task["batch"], self.task["epoch_steps"], "\n".join(lines)))
        return path

    def settings(self):
        """What units of one table have in common."""
        return {k: v for k, v in self.task.items() if "units" not in k}


# --------------------------------------------------------------------------- a unit


def both_ways(cost):
    return cost["bytes_sent"] + cost["bytes_received"]


def integers_of(bench, run):
    """Accuracy as integers and what a private query is forecast to take; says why not, where the
    network does not become integers."""
    deployed = os.path.join(run, "deployed.h5")
    try:
        if not os.path.exists(deployed):
            bench.sphynx("export", "--model", run, "--data", bench.data(), "-o", deployed)
        told = bench.json_once(os.path.join(run, "integers.json"), "eval", "--model", deployed,
                               "--data", bench.data())
        cost = bench.json_once(os.path.join(run, "cost.json"), "cost", "--model", deployed,
                               "--link", "lan", "--usual-rates")
    except Failed as error:
        return {"integer_top1": None, "no_integers": str(error)}
    return {"integer_top1": told["top1"], "interactive_positions": cost["interactive_positions"],
            **{phase + "_s_predicted": cost[phase]["seconds"] for phase in ("online", "offline")},
            **{phase + "_bytes": both_ways(cost[phase]) for phase in ("online", "offline")}}


def unit_of(job):
    """Trains what is missing; what the unit comes to."""
    bench = job.bench
    run = table_of(job)[job.name].make(bench, job.budget, job.unit)
    result = bench.read(os.path.join(run, "result.json"))
    if job.budget and result["relus"] > job.budget:
        raise Failed("%d ReLUs, above the budget of %d" % (result["relus"], job.budget))
    unit = {"unit": job.unit, "run": os.path.relpath(run, bench.work), "top1": result["top1"],
            "relus": result["relus"], "macs": result["macs"]}
    return unit if job.pilot else {**unit, **integers_of(bench, run)}


def private_of(bench, unit):
    """One query of a unit, measured between two processes; {} where there are no integers."""
    deployed = os.path.join(bench.work, unit["run"], "deployed.h5")
    if not os.path.exists(deployed):
        return {}
    load = os.getloadavg()[0]
    told = json.loads(bench.sphynx("bench", "pi", "--model", deployed, "--link", "lan"))
    return {"online_s": told["online"]["seconds"], "offline_s": told["offline"]["seconds"],
            "private_unit": unit["unit"], "load": load}


# --------------------------------------------------------------------------- the rows


def table_of(job):
    return pareto_arms.PILOT if job.pilot else pareto_arms.METHODS


def network_of(job):
    words = table_of(job)[job.name].parts(job.bench, job.budget)[0][1]
    return words[1] if words[0] == "--network" else "cells"


def row_of(job, units, old):
    """The row of a method's units at a budget, as metrics.json has it."""
    def middle(key):
        there = [u[key] for u in units if u.get(key) is not None]
        return statistics.median(there) if there else None

    top1 = [u["top1"] for u in units]
    integers = [u["integer_top1"] for u in units if u.get("integer_top1") is not None]
    row = {"network": network_of(job), "method": job.name, "task": job.bench.name,
           "relu_budget": job.budget, "relus": middle("relus"),
           "interactive_positions": middle("interactive_positions"), "macs": middle("macs"),
           "seeds": len(units), "seeds_planned": planned(job), "top1": top1,
           "top1_mean": statistics.mean(top1),
           "top1_std": statistics.stdev(top1) if len(top1) > 1 else None,
           "integer_top1_mean": statistics.mean(integers) if integers else None,
           "online_s": None, "offline_s": None, "online_bytes": middle("online_bytes"),
           "offline_bytes": middle("offline_bytes"),
           "online_s_predicted": middle("online_s_predicted"),
           "offline_s_predicted": middle("offline_s_predicted"), "teacher": None,
           "steps": job.bench.task["epochs"] * job.bench.task["epoch_steps"],
           "host": page.about_machine()["cpu"], "commit": page.output_of(
               "git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"),
           "units": units}
    row.update({k: old[k] for k in ("online_s", "offline_s", "private_unit", "load") if k in old})
    return row


class Table:
    """metrics.json: reads what is there, takes units and writes it all anew after each."""

    def __init__(self, args, benches):
        self.args, self.lock = args, threading.Lock()
        settings = {b.name: b.settings() for b in benches.values()}
        self.metrics = {"settings": settings, "rows": [], "pilot": []}
        if os.path.exists(page.metrics_path(args)):
            self.metrics = page.load_metrics(args)
            kept = {k: v for k, v in self.metrics["settings"].items() if k in settings}
            if kept != {k: settings[k] for k in kept}:
                sys.exit("pareto: %s is of other settings; move it away, or give --out" %
                         page.metrics_path(args))
            self.metrics["settings"].update(settings)
        self.metrics["about"] = {**page.about_run(args), **page.about_machine(jobs=args.jobs)}

    def row(self, job):
        return next((r for r in self.metrics["pilot" if job.pilot else "rows"]
                     if (r["task"], r["method"], r["relu_budget"]) ==
                     (job.bench.name, job.name, job.budget)), {"units": []})

    def has(self, job):
        """Also what did not become integers, where its training is lost: else export again."""
        return any(u["unit"] == job.unit and not (
            "no_integers" in u and os.path.exists(os.path.join(job.bench.work, u["run"])))
                   for u in self.row(job)["units"])

    def put(self, job, unit, private=None):
        with self.lock:
            old = self.row(job)
            units = sorted([u for u in old["units"] if u["unit"] != job.unit] + [unit],
                           key=lambda u: u["unit"])
            row = row_of(job, units, {**old, **(private or {})})
            where = self.metrics["pilot" if job.pilot else "rows"]
            where[:] = [r for r in where if r is not old] + [row]
            where.sort(key=order_of_row)
            pareto_page.save(self.args, self.metrics)


def planned(job):
    task = job.bench.task
    return task["pilot_units"] if job.pilot else task["units"][str(job.budget)]


def order_of_row(r):
    names = list(pareto_arms.METHODS) + list(pareto_arms.PILOT)
    return r["task"] != MAIN, r["task"], r["relu_budget"], names.index(r["method"])


# ----------------------------------------------------------------------------- the work


def jobs_of(args, benches):
    """All units, breadth first: each method's first at every budget, then each one's second. Those
    of a selection, which takes long, come behind the others."""
    found = []
    for bench in benches.values():
        if bench.name == MAIN or args.full:
            found += [Job(bench, False, name, budget, unit) for budget in bench.budgets()
                      for name in args.methods for unit in bench.units(budget)]
        if not args.no_pilot:
            found += [Job(bench, True, name, budget, unit)
                      for name in pareto_arms.PILOT
                      for budget in ([0] if name == "none" else bench.budgets()[:2])
                      for unit in range(1, bench.task["pilot_units"] + 1)]
    names = list(pareto_arms.METHODS) + list(pareto_arms.PILOT)
    return sorted(found, key=lambda j: (j.unit + (0 if j.bench.name == MAIN else LATER), j.pilot,
                                        j.name in pareto_arms.SELECTED, j.budget,
                                        names.index(j.name)))


def needs_of(job):
    return {job.bench.name + " " + n
            for n in table_of(job)[job.name].needs(job.budget, job.unit)}


def work_through(jobs, at_once, make):
    """make(job) for each, at_once at a time in about their order, none beside another that needs
    the same. Returns what failed: [(job, why)]."""
    left, busy, failed = list(jobs), set(), []
    ready = threading.Condition()

    def next_job():
        with ready:
            while left:
                job = next((j for j in left if not needs_of(j) & busy), None)
                if job is not None:
                    left.remove(job)
                    busy.update(needs_of(job))
                    return job
                ready.wait()
            return None

    def worker():
        while (job := next_job()) is not None:
            try:
                make(job)
            except (Failed, OSError, subprocess.CalledProcessError, KeyError, ValueError) as error:
                say("pareto: %s: %r" % (job, error))
                failed.append((job, error))
            with ready:
                busy.difference_update(needs_of(job))
                ready.notify_all()

    threads = [threading.Thread(target=worker) for _ in range(at_once)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return failed


def step_seconds(bench, words, known):
    """Of one step, on one thread: measured on this machine, as fast as it is now."""
    key = (bench.name, *words)
    if key not in known:
        more = [] if "--network" in words else bench.task["cells"].split()
        more = ["--init-channels", "4", "--layers", "5"] if words[0] == SEARCH else more
        verb = [] if words[0] == SEARCH else ["train-step"]
        told = json.loads(bench.sphynx(
            "bench", *verb, *words, *more, "--input", bench.task["input"], "--classes",
            bench.task["classes"], "--batch", bench.task["batch"], "--steps", 2))
        known[key] = told["seconds_median"]
    return known[key]


def hours_of(job, known):
    """Of a unit, on average over those that share what it needs."""
    bench = job.bench
    steps = bench.task["epochs"] * bench.task["epoch_steps"]
    return sum(share * (bench.task["search_steps"] if words[0] == SEARCH else steps) *
               step_seconds(bench, list(map(str, words)), known) / 3600
               for share, words in table_of(job)[job.name].parts(bench, job.budget))


def print_plan(args, jobs):
    known, rows = {}, collections.OrderedDict()
    for j in jobs:
        key = (j.bench.name, "pilot: " + j.name if j.pilot else j.name, j.budget)
        n, hours = rows.get(key, (0, 0.0))
        rows[key] = (n + 1, hours + hours_of(j, known))
    for (task, name, budget), (n, hours) in rows.items():
        say("%-14s %-24s %6d ReLUs, %2d units to come %6.2f h" % (task, name, budget, n, hours))
    total = sum(hours for _, hours in rows.values())
    say("%d units to come, about %.1f h with %d at once, as fast as the machine is now; integers "
        "and private runs not counted" % (len(jobs), total / args.jobs, args.jobs))


def measure_quietly(table, jobs):
    """Private seconds anew of rows that were measured beside other work, one after the other."""
    firsts = [j for j in jobs if not j.pilot and j.unit == 1 and table.row(j).get("load", 0) > 1]
    for _ in range(30 if firsts else 0):
        if os.getloadavg()[0] > 1:
            time.sleep(10)
    for job in firsts:
        unit = table.row(job)["units"][0]
        told = private_of(job.bench, unit)
        if told:
            table.put(job, unit, told)


def main():
    args = arguments()
    if args.rewrite:
        return pareto_page.write_page(args, page.load_metrics(args))
    names = [n for n in TASKS if n == MAIN or args.full or not args.no_pilot]
    benches = {n: Bench(args, n) for n in names}
    table = Table(args, benches)
    every = jobs_of(args, benches)
    missing = [j for j in every if not table.has(j)]
    print_plan(args, missing)
    if args.plan:
        return 0
    for name in sorted({j.bench.name for j in missing}):
        benches[name].make_data()

    def make(job):
        unit = unit_of(job)
        table.put(job, unit)
        if job.unit == 1 and not job.pilot:
            table.put(job, unit, private_of(job.bench, unit))

    failed = work_through(missing, args.jobs, make)
    if not failed and not args.toy:
        measure_quietly(table, every)
    for job, why in failed:
        say("pareto: missing: %s: %s" % (job, why))
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit("pareto: %s" % failure)
