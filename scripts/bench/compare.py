#!/usr/bin/env python3
"""Runs sphynx and PyTorch by turns on the same cases and writes metrics.json and README.md.

Called by scripts/bench/cpu, which builds first. Every measurement is a process of its own; the two
peers take turns within each round, the second round starting with the other one.
"""
import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

from cases import CASES, WHAT, sphynx_args

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# A share of the machine used by others. PyTorch's OpenMP threads spin at every barrier, so two
# busy processes on two cores slow it tenfold: a disturbed run would flatter us.
DISTURBED = 0.05
RETRIES = 2


def say(text):
    print(text, file=sys.stderr, flush=True)


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


def output_of(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              cwd=ROOT, check=True)
        return done.stdout.decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def first_match(path, pattern):
    with open(path) as f:
        found = re.search(pattern, f.read())
    return found.group(1).strip() if found else None


def about(args):
    import torch  # after the measurements: this process should stay small while they run
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": " ".join(["scripts/bench/cpu"] + sys.argv[1:]),
        "commit": output_of("git", "describe", "--always", "--abbrev=12", "--dirty",
                            "--exclude=*"),
        "sphynx": output_of(args.sphynx, "--version"),
        "torch": torch.__version__,
        "onednn_of_torch": first_onednn(torch),
        "onednn_package": output_of("dpkg-query", "-W", "-f", "${Version}", "libdnnl-dev"),
        "python": platform.python_version(),
        "cpu": first_match("/proc/cpuinfo", r"model name\s*:\s*(.*)"),
        "cores": os.cpu_count(),
        "threads": args.threads,
        "memory_bytes": int(first_match("/proc/meminfo", r"MemTotal:\s*(\d+)")) * 1024,
        "system": first_match("/etc/os-release", r'PRETTY_NAME="(.*)"'),
        "kernel": platform.release(),
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


def notes_of(path):
    """{case: text} from the `## case` sections of NOTES.md; the text before them under ''."""
    notes = {}
    if os.path.exists(path):
        with open(path) as f:
            parts = re.split(r"^## +(.*)$", f.read(), flags=re.M)
        notes[""] = re.sub(r"^# .*\n", "", parts[0]).strip()
        notes.update({k.strip(): v.strip() for k, v in zip(parts[1::2], parts[2::2])})
    return notes


def readme(metrics, notes):
    info = metrics["about"]
    mib = 1024.0 * 1024.0
    rows = []
    for name, e in metrics.items():
        if name == "about":
            continue
        mark = " (disturbed)" if e["others_share"] > DISTURBED else ""
        rows.append("| `%s`%s | %.3f | %.3f | %s | %.0f | %.0f | %s |"
                    % (name, mark, e["sphynx_s"], e["pytorch_s"],
                       verdict(e["ratio"], e["target_ratio"]), e["sphynx_rss"] / mib,
                       e["pytorch_rss"] / mib, verdict(e["rss_ratio"], e["target_rss_ratio"])))
    with open(os.path.join(HERE, "results_cpu.md.in")) as f:
        text = f.read()
    cases = "\n".join("| `%s` | %s |" % (n, WHAT[n]) for n in metrics if n != "about")
    misses = []
    for name, e in metrics.items():
        for fact in missed(e) if name != "about" else []:
            misses.append("- `%s`, %s" % (name, fact))
    told = [("### " + k + "\n\n" if k else "") + v for k, v in notes.items() if v]
    filled = {"CASES": cases, "ROWS": "\n".join(rows),
              "MISSED": "\n".join(misses) if misses else "None.",
              "NOTES": "\n\n".join(told) if told else "None yet.",
              "ABOUT": "\n".join("| %s | %s |" % (k, v) for k, v in info.items())}
    return re.sub(r"@(\w+)@", lambda m: filled[m.group(1)], text)


def write(path, text):
    with open(path + ".tmp", "w") as f:
        f.write(text)
    os.replace(path + ".tmp", path)


def parse_args():
    p = argparse.ArgumentParser(prog="scripts/bench/cpu",
                                description="Compares sphynx with PyTorch on this CPU.")
    p.add_argument("--only", action="append", choices=sorted(CASES), metavar="CASE",
                   help="this case only; may be given several times: " + ", ".join(CASES))
    p.add_argument("--rounds", type=int, help="rounds per case (default 3; 1 with --quick)")
    p.add_argument("--quick", action="store_true", help="one round, one timed step")
    p.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    p.add_argument("--out", metavar="DIR", help="default: results/cpu; build/bench for a partial "
                   "run (--only, --quick), so that it does not replace a whole one")
    p.add_argument("--sphynx", default=os.path.join(ROOT, "build", "release", "bin", "sphynx"),
                   help="the program to measure (default: build/release/bin/sphynx)")
    p.add_argument("--rewrite", action="store_true",
                   help="measure nothing: write README.md again from metrics.json and NOTES.md")
    args = p.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 3)
    partial = args.only or args.quick
    args.out = args.out or os.path.join(ROOT, *(("build", "bench") if partial
                                                else ("results", "cpu")))
    if args.rounds < 1 or args.threads < 1:
        p.error("--rounds and --threads take 1 or more")
    return args


def main():
    args = parse_args()
    os.makedirs(args.out, exist_ok=True)
    metrics_path = os.path.join(args.out, "metrics.json")
    if args.rewrite:
        with open(metrics_path) as f:
            metrics = json.load(f)
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
        write(metrics_path, json.dumps(metrics, indent=2) + "\n")
    notes = notes_of(os.path.join(args.out, "NOTES.md"))
    write(os.path.join(args.out, "README.md"), readme(metrics, notes))
    for name, entry in metrics.items():
        for fact in missed(entry) if name != "about" else []:
            say("%s misses its target in %s%s"
                % (name, fact, "" if name in notes else "; NOTES.md does not say why"))
    print(metrics_path)


if __name__ == "__main__":
    main()
