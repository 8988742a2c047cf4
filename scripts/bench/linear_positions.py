#!/usr/bin/env python3
"""Prunes one trained network to equal ReLU counts by layers, channels and positions, and asks what
each then costs in private inference; writes results/linear-positions.

Called by scripts/bench/linear-positions, which builds first. What is there is not made again.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

import page
from page import say

SET = "/usr/share/datasets/fashion-mnist"
STEPS = 60  # of training: masks and widths are a network's own, its accuracy is not asked
LINKS = ["loopback", "lan", "wan"]
MASKS = ["edge", "channel", "pixel"]

# name: what to train; budgets of ReLUs; convolutions between kept ReLUs.
BASES = {
    "resnet18,width=8": (["--network", "resnet18,width=8"], [34816, 17408], "8"),
    "published cells": (["--genotype", "published", "--init-channels", "3", "--layers", "6",
                         "--reduce-at", "0,3", "--aux-weight", "0", "--drop-path", "0"],
                        [9216], "12"),
}
# Networks without masks beside them: ReLUs that were never there.
CULLED = {
    "deepreduce,cull=1,thin=1,alpha=0.125":
        ["--network", "deepreduce,cull=1,thin=1,alpha=0.125"],
}


def run_json(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit("bench: exit %d: %s" % (done.returncode, " ".join(command)))
    return json.loads(done.stdout.decode())


def once(path, command):
    """Runs what makes a file that is not there yet."""
    if not os.path.exists(path):
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            sys.exit("bench: exit %d: %s" % (done.returncode, " ".join(command)))
    return path


def traffic(cost):
    return cost["bytes_sent"] + cost["bytes_received"]


# ----------------------------------------------------------------- the networks


def train(args, name, words):
    run = os.path.join(args.work, name.replace(",", "_").replace(" ", "_"))
    return os.path.dirname(once(os.path.join(run, "model.h5"), [
        args.sphynx, "train", "--data", args.data, "--input", "1x32x32", *words, "--batch", "64",
        "--lr", "0.05", "--threads", "1", "--epochs", "1", "--max-steps",
        str(STEPS), "--resume", "--out", run]))


def prune(args, run, mask, budget, depth):
    path = "%s-%s-%d.h5" % (run, mask, budget)
    words = ["--max-depth", depth] if mask == "edge" else []
    once(path, [args.sphynx, "prune", "--model", run, "--data", args.data, "--granularity", mask,
                "--relu-budget", str(budget), "--images", "256", "--val-fraction", "0.003",
                "--threads", "1", "-o", path] +
         words)
    return path, run_json([args.sphynx, "inspect", "--model", path, "--json"])["relus"]


def models(args):
    """(network, mask, model): masks of a budget keep as many ReLUs as the edges among them."""
    for name, (words, budgets, depth) in BASES.items():
        run = train(args, name, words)
        yield name, "none", run
        for budget in budgets:
            edge, relus = prune(args, run, "edge", budget, depth)
            yield name, "edge", edge
            for mask in MASKS[1:]:
                yield name, mask, prune(args, run, mask, relus, depth)[0]
    for name, words in CULLED.items():
        yield name, "never there", train(args, name, words)


# ------------------------------------------------------------------- their cost


def measure(args, name, mask, model):
    path = model.removesuffix(".h5") + ".deployed.h5"
    once(path, [args.sphynx, "export", "--model", model, "--data", args.data, "--calibration",
                "64", "--threads", "1", "-o", path])
    about = run_json([args.sphynx, "inspect", "--model", path, "--json"])
    cost = {link: run_json([args.sphynx, "cost", "--model", path, "--usual-rates", "--link", link,
                            "--json"]) for link in LINKS}
    runs = [run_json([args.sphynx, "bench", "pi", "--model", path, "--threads", "1", "--queries",
                      str(args.queries), "--json"]) for _ in range(args.rounds)]
    if not all(r["matches_integer_executor"] and r["predicted"]["bytes_equal"] for r in runs):
        sys.exit("bench: %s: not the integer executor's logits, or not the bytes foretold" % path)
    one = cost["loopback"]
    row = {
        "network": name, "mask": mask, "relus": one["relus"],
        "interactive_positions": one["interactive_positions"],
        "positions": about.get("relus_full", one["relus"]), "mean_bits": about["mean_l"],
        "offline_bytes": traffic(one["offline"]), "online_bytes": traffic(one["online"]),
        "rounds": one["online"]["rounds"],
        "predicted_ms": {k: 1e3 * c["online"]["seconds"] for k, c in cost.items()},
        "measured_ms": [1e3 * r["online"]["seconds"] for r in runs],
        "offline_s": [r["offline"]["seconds"] for r in runs],
    }
    say("%s, %s: %d ReLUs, %d positions, %.1f MB"
        % (name, mask, row["relus"], row["interactive_positions"],
           1e-6 * (row["offline_bytes"] + row["online_bytes"])))
    return row


# ------------------------------------------------------------------------ results


def table(rows):
    base = {r["network"]: r for r in rows if r["mask"] == "none"}
    lines = []
    for r in rows:
        full = base.get(r["network"])
        total = r["offline_bytes"] + r["online_bytes"]
        of_full = 100 * total / (full["offline_bytes"] + full["online_bytes"]) if full else 0
        lines.append("| %s | %s | %d | %s | %d | %.1f | %.2f | %.2f | %s | %s | %.1f |" % (
            r["network"], r["mask"], r["relus"],
            "%.0f %%" % (100 * r["relus"] / full["relus"]) if full else "",
            r["interactive_positions"], r["mean_bits"], 1e-6 * r["offline_bytes"],
            1e-6 * r["online_bytes"], "%.0f %%" % of_full if full else "",
            ", ".join("%.1f" % r["predicted_ms"][k] for k in LINKS),
            statistics.median(r["measured_ms"])))
    return "\n".join(lines)


def parse_args():
    p = argparse.ArgumentParser(prog="scripts/bench/linear-positions",
                                description="What linear positions cost in private inference.")
    page.add_common(p, "linear-positions", "bench-linear-positions")
    p.add_argument("--work", default=os.path.join(page.ROOT, "build", "linear-positions"))
    p.add_argument("--queries", type=int, default=3, help="of each run (default 3)")
    p.add_argument("--rounds", type=int, default=3, help="runs of each network (default 3)")
    return p.parse_args()


def main():
    args = parse_args()
    page.choose_out(args, False)
    if args.rewrite:
        metrics = page.load_metrics(args)
    else:
        os.makedirs(args.work, exist_ok=True)
        args.sphynx = os.path.abspath(args.sphynx)
        args.data = os.path.join(args.work, "fashion.h5")
        load = os.getloadavg()[0]
        once(args.data, [args.sphynx, "data", "pack", "fashion-mnist", SET, "-o", args.data])
        metrics = {
            "rows": [],
            "about": {**page.about_run(args), **page.about_machine(**{"threads a party": 1}),
                      "rounds": args.rounds, "queries a run": args.queries, "load_before": load}}
        for model in models(args):
            metrics["rows"].append(measure(args, *model))
            page.write_metrics(args, metrics)
    page.write_page(args, metrics, {"ROWS": table(metrics["rows"])})
    print(page.metrics_path(args))


if __name__ == "__main__":
    main()
