#!/usr/bin/env python3
"""Runs sphynx and PyTorch by turns on a GPU and writes metrics.json and README.md.

Called by scripts/bench/gpu, which builds first. Every measurement is a process of its own; peers
take turns within each round, every second round in the opposite order.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

import page
from gpu_cases import CASES, TARGET_MEMORY, VARIANTS, WHAT, sphynx_args
from page import HERE, output_of, say

PRECISIONS = ("tf32", "bf16")


def run_json(command, limit):
    """The JSON object a command prints, or None with a word on stderr."""
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, env=env, timeout=limit)
    except subprocess.TimeoutExpired:
        say("  not within %d s: %s" % (limit, " ".join(command)))
        return None
    if done.returncode != 0:
        say("  exit %d: %s" % (done.returncode, " ".join(command)))
        return None
    try:
        return json.loads(done.stdout)
    except ValueError:
        say("  no JSON: %s" % " ".join(command))
        return None


def commands(name, args):
    """{peer: command}: ours at each precision, and PyTorch's variants."""
    case = CASES[name]
    all_ = {"sphynx_" + p: [args.sphynx, "bench"] + sphynx_args(case, p, args.steps)
            for p in (("tf32",) if args.quick else PRECISIONS)}
    for v in (("eager",) if args.quick else VARIANTS):
        all_[v] = [sys.executable, os.path.join(HERE, "gpu_case.py"), name, v, str(args.steps)]
    return all_


def measure(name, args):
    """{peer: {"s", "bytes", "rounds_s"}} of those that ran."""
    todo = commands(name, args)
    found = {peer: [] for peer in todo}
    for i in range(args.rounds):
        for peer in (list(todo) if i % 2 == 0 else list(todo)[::-1]):
            if i > 0 and not found[peer]:
                continue  # failed before
            told = run_json(todo[peer], args.limit)
            if told is not None:
                found[peer].append(told)
                say("  %-22s %8.3f ms %8.0f MiB" % (peer, 1e3 * told["seconds_median"],
                                                    told["device_bytes_peak"] / 2**20))
    return {peer: {"s": statistics.median(t["seconds_median"] for t in list_),
                   "bytes": max(t["device_bytes_peak"] for t in list_),
                   "rounds_s": [t["seconds_median"] for t in list_]}
            for peer, list_ in found.items() if list_}


def best_of(found, precision):
    """The fastest way of PyTorch at a precision."""
    ways = [v for v, how in VARIANTS.items() if v in found and how["precision"] == precision]
    return min(ways, key=lambda v: found[v]["s"]) if ways else None


def ratio(a, b):
    return a / b if a is not None and b else None


def entry_of(name, found):
    """One entry of metrics.json. The best is compared at its own precision, whichever is faster."""
    def seconds(peer):
        return found[peer]["s"] if peer in found else None
    best = {p: best_of(found, p) for p in PRECISIONS}
    pairs = [(p, best[p]) for p in PRECISIONS if best[p] and "sphynx_" + p in found]
    top = min(pairs, key=lambda pair: found[pair[1]]["s"], default=(None, None))
    ours = "sphynx_tf32"
    return {
        "sphynx_s": seconds(ours), "eager_s": seconds("eager"), "best_s": seconds(top[1]),
        "ratio_eager": ratio(seconds("eager"), seconds(ours)),
        "ratio_best": ratio(seconds(top[1]), seconds("sphynx_%s" % top[0])) if top[0] else None,
        "sphynx_bytes": found[ours]["bytes"] if ours in found else None,
        "eager_bytes": found["eager"]["bytes"] if "eager" in found else None,
        "best": top[1], "best_precision": top[0],
        "target_eager": CASES[name]["target_eager"], "target_best": CASES[name]["target_best"],
        "target_memory": TARGET_MEMORY, "all": found}


# --------------------------------------------------------------------- results


def verdict(value, target, at_most=False):
    if value is None:
        return "not measured"
    good = value <= target if at_most else value >= target
    return "%.2f (%s %.1f)" % (value, "reaches" if good else "**misses**", target)


def milliseconds(value):
    return "-" if value is None else "%.3f" % (1e3 * value)


def rows(metrics):
    text = []
    for name, e in page.cases_of(metrics):
        memory = ratio(e["sphynx_bytes"], e["eager_bytes"])
        text.append("| `%s` | %s | %s | %s | %s (%s) | %s | %s |" % (
            name, milliseconds(e["sphynx_s"]), milliseconds(e["eager_s"]),
            verdict(e["ratio_eager"], e["target_eager"]), milliseconds(e["best_s"]),
            e["best"] or "-", verdict(e["ratio_best"], e["target_best"]),
            verdict(memory, e["target_memory"], at_most=True)))
    return "\n".join(text)


def all_rows(metrics):
    text = []
    for name, e in page.cases_of(metrics):
        for peer, f in sorted(e["all"].items(), key=lambda item: item[1]["s"]):
            text.append("| `%s` | %s | %.3f | %.0f |" % (name, peer, 1e3 * f["s"],
                                                         f["bytes"] / 2**20))
    return "\n".join(text)


def write_page(args, metrics):
    page.write_page(args, metrics, {
        "CASES": "\n".join("| `%s` | %s |" % (n, WHAT[n]) for n, _ in page.cases_of(metrics)),
        "ROWS": rows(metrics), "ALL": all_rows(metrics)})


def about(args):
    return {
        **page.about_run(args, args.commit),
        "gpu": output_of("nvidia-smi", "--query-gpu=name,driver_version,memory.total",
                         "--format=csv,noheader"),
        "torch": output_of(sys.executable, "-c", "import torch; print(torch.__version__, "
                           "torch.version.cuda, torch.backends.cudnn.version())"),
        "steps": args.steps, "rounds": args.rounds}


def parse_args():
    p = argparse.ArgumentParser(prog="scripts/bench/gpu",
                                description="Compares sphynx with PyTorch on this GPU.")
    page.add_only(p, CASES)
    p.add_argument("--quick", action="store_true",
                   help="one round of sphynx (TF32) and eager alone: minutes, not an hour")
    p.add_argument("--rounds", type=int, help="default 2; 1 with --quick")
    p.add_argument("--steps", type=int, help="timed steps of each (default 50; 20 with --quick)")
    p.add_argument("--limit", type=int, default=600, metavar="S",
                   help="give a peer up after so many seconds (compilers; default 600)")
    page.add_common(p, "gpu", "bench-gpu", "cuda")
    p.add_argument("--commit", help="what to call the commit where there is no git")
    args = p.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 2)
    args.steps = args.steps or (20 if args.quick else 50)
    if args.rounds < 1 or args.steps < 1 or args.limit < 1:
        p.error("--rounds, --steps and --limit take 1 or more")
    return args


def main():
    args = parse_args()
    page.choose_out(args, args.only or args.quick)
    if args.rewrite:
        metrics = page.load_metrics(args)
    else:
        metrics = {}
        for name in [n for n in CASES if not args.only or n in args.only]:
            say(name)
            metrics[name] = entry_of(name, measure(name, args))
            metrics["about"] = about(args)
            page.write_metrics(args, metrics)  # a run cut short leaves its part
    write_page(args, metrics)
    for name, e in page.cases_of(metrics):
        print("%-28s sphynx %s ms, eager %s ms, ratio %s" % (
            name, milliseconds(e["sphynx_s"]), milliseconds(e["eager_s"]),
            verdict(e["ratio_eager"], e["target_eager"])))
    print(page.metrics_path(args))
    return 0 if all(e["sphynx_s"] is not None for _, e in page.cases_of(metrics)) else 1


if __name__ == "__main__":
    sys.exit(main())
