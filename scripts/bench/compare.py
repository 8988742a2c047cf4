#!/usr/bin/env python3
"""Runs sphynx and PyTorch by turns on the same cases and writes metrics.json and README.md.

Called by scripts/bench/cpu, which builds first. Every measurement is a process of its own; the two
peers take turns within each round, the second round starting with the other one.
"""
import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

import page
from cases import CASES, WHAT, sphynx_args
from page import HERE, say

# A share of the machine used by others. PyTorch's OpenMP threads spin at every barrier, so two
# busy processes on two cores slow it tenfold: a disturbed run would flatter us.
DISTURBED = 0.05
RETRIES = 2


def busy_seconds():
    """CPU time the whole machine has spent, and what the host took from it (steal)."""
    with open("/proc/stat") as f:
        t = [int(v) for v in f.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = t
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def run_json(command, threads):
    """(the JSON object a command prints, its peak resident bytes as the kernel saw it, the share of
    the machine that others used meanwhile)."""
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), PYTHONDONTWRITEBYTECODE="1")
    busy, start = busy_seconds(), time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=env)
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError("exit %d: %s" % (child.returncode, " ".join(command)))
    others = busy_seconds() - busy - usage.ru_utime - usage.ru_stime
    share = max(0.0, others / ((time.monotonic() - start) * os.cpu_count()))
    return json.loads(text), usage.ru_maxrss * 1024, share


def steps_of(name, args):
    return 1 if args.quick else CASES[name]["steps"]


def measure_sphynx(name, args):
    command = ([args.sphynx, "bench"] + sphynx_args(CASES[name], steps_of(name, args))
               + ["--threads", str(args.threads)])
    told, seen, share = run_json(command, args.threads)
    # Its own figure is checked against the kernel's: the larger one counts.
    return float(told["seconds_median"]), max(int(told["peak_rss_bytes"]), seen), share


def measure_pytorch(name, args):
    command = [sys.executable, os.path.join(HERE, "pytorch_case.py"), name, str(args.threads),
               str(steps_of(name, args))]
    told, _, share = run_json(command, args.threads)
    return float(told["seconds_median"]), int(told["peak_rss_bytes"]), share


def measure_quietly(peer, name, args):
    """Measures again where other work took more than DISTURBED of the machine."""
    for tries in range(RETRIES, -1, -1):
        result = PEERS[peer](name, args)
        if result[2] <= DISTURBED or tries == 0:
            return result
        say("  %s: others used %.0f %% of the machine; again" % (peer, 100 * result[2]))


PEERS = {"sphynx": measure_sphynx, "pytorch": measure_pytorch}


def measure(name, args):
    """One entry of metrics.json."""
    rounds = {peer: [] for peer in PEERS}
    for i in range(args.rounds):
        order = list(PEERS) if i % 2 == 0 else list(PEERS)[::-1]
        for peer in order:
            rounds[peer].append(measure_quietly(peer, name, args))
        say("  round %d: sphynx %.3f s, PyTorch %.3f s"
            % (i + 1, rounds["sphynx"][-1][0], rounds["pytorch"][-1][0]))
    entry = {}
    for peer in PEERS:
        entry[peer + "_s"] = statistics.median(r[0] for r in rounds[peer])
        entry[peer + "_rss"] = max(r[1] for r in rounds[peer])
        entry[peer + "_rounds_s"] = [r[0] for r in rounds[peer]]
    entry["others_share"] = max(r[2] for peer in PEERS for r in rounds[peer])
    entry["ratio"] = entry["pytorch_s"] / entry["sphynx_s"]
    entry["rss_ratio"] = entry["pytorch_rss"] / entry["sphynx_rss"]
    entry["target_ratio"] = CASES[name]["target_time"]
    entry["target_rss_ratio"] = CASES[name]["target_memory"]
    return entry


# ----------------------------------------------------------------- environment


def about(args):
    import torch  # after the measurements: this process should stay small while they run
    return {
        **page.about_run(args),
        "torch": torch.__version__,
        "onednn_of_torch": first_onednn(torch),
        "python": platform.python_version(),
        **page.about_machine(threads=args.threads),
        "rounds": args.rounds,
        "load_before": args.load,
    }


def first_onednn(torch):
    found = re.search(r"MKL-DNN v([\d.]+)", torch.__config__.show())
    return found.group(1) if found else None


# --------------------------------------------------------------------- results


def verdict(ratio, target):
    if target is None:
        return "%.2f" % ratio
    return "%.2f (%s %.1f)" % (ratio, "reaches" if ratio >= target else "**misses**", target)


def missed(entry):
    """Texts, one per missed target."""
    texts = []
    for what, ratio, target in (("time", "ratio", "target_ratio"),
                                ("peak memory", "rss_ratio", "target_rss_ratio")):
        if entry[target] is not None and entry[ratio] < entry[target]:
            texts.append("%s: %.2f instead of %.1f (%.0f %% short)"
                         % (what, entry[ratio], entry[target],
                            100 * (1 - entry[ratio] / entry[target])))
    return texts


def write_page(args, metrics):
    mib = 1024.0 * 1024.0
    rows, misses = [], []
    for name, e in page.cases_of(metrics):
        mark = " (disturbed)" if e["others_share"] > DISTURBED else ""
        rows.append("| `%s`%s | %.3f | %.3f | %s | %.0f | %.0f | %s |"
                    % (name, mark, e["sphynx_s"], e["pytorch_s"],
                       verdict(e["ratio"], e["target_ratio"]), e["sphynx_rss"] / mib,
                       e["pytorch_rss"] / mib, verdict(e["rss_ratio"], e["target_rss_ratio"])))
        misses += ["- `%s`, %s" % (name, fact) for fact in missed(e)]
    page.write_page(args, metrics, {
        "CASES": "\n".join("| `%s` | %s |" % (n, WHAT[n]) for n, _ in page.cases_of(metrics)),
        "ROWS": "\n".join(rows), "MISSED": "\n".join(misses) if misses else "None."})


def parse_args():
    p = argparse.ArgumentParser(prog="scripts/bench/cpu",
                                description="Compares sphynx with PyTorch on this CPU.")
    page.add_only(p, CASES)
    p.add_argument("--rounds", type=int, help="rounds per case (default 3; 1 with --quick)")
    p.add_argument("--quick", action="store_true", help="one round, one timed step")
    p.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    page.add_common(p, "cpu", "bench")
    args = p.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 3)
    if args.rounds < 1 or args.threads < 1:
        p.error("--rounds and --threads take 1 or more")
    return args


def main():
    args = parse_args()
    page.choose_out(args, args.only or args.quick)
    if args.rewrite:
        metrics = page.load_metrics(args)
    else:
        args.load = os.getloadavg()[0]
        if args.load > 0.5:
            say("warning: the load is %.1f; other work disturbs the times" % args.load)
        metrics = {}
        for name in [n for n in CASES if not args.only or n in args.only]:
            say(name)
            try:
                metrics[name] = measure(name, args)
            except (RuntimeError, OSError, ValueError, KeyError) as error:
                sys.exit("bench: %s: %s" % (name, error))
        metrics["about"] = about(args)
        page.write_metrics(args, metrics)
    write_page(args, metrics)
    notes = page.notes_of(args)
    for name, entry in page.cases_of(metrics):
        for fact in missed(entry):
            say("%s misses its target in %s%s"
                % (name, fact, "" if name in notes else "; NOTES.md does not say why"))
    print(page.metrics_path(args))


if __name__ == "__main__":
    main()
