#!/usr/bin/env python3
"""Runs private inference of the published networks and its building blocks; writes results/pi.

Called by scripts/bench/pi, which builds first. Both parties run on this machine, one thread each.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

import page
from page import say

CIFAR = ("3x32x32", 100)
TINY = ("3x64x64", 200)
IMAGENET = ("3x224x224", 1000)


def net(images, channels, layers, reduce_at, link=None):
    return {"input": images[0], "classes": images[1], "channels": channels, "layers": layers,
            "reduce_at": reduce_at, "link": link}


# The published configurations.
CASES = {
    "cifar100_25k": net(CIFAR, 5, 5, "0,1"),
    "cifar100_31k": net(CIFAR, 5, 6, "0,1"),
    "cifar100_41k": net(CIFAR, 5, 8, "1,3"),
    "cifar100_51k": net(CIFAR, 5, 10, "0,5"),
    "cifar100_51k_lan": net(CIFAR, 5, 10, "0,5", "lan"),
    "cifar100_51k_wan": net(CIFAR, 5, 10, "0,5", "wan"),
    "cifar100_72k": net(CIFAR, 7, 10, "0,5"),
    "cifar100_102k": net(CIFAR, 10, 10, "0,5"),
    "tiny_102k": net(TINY, 5, 5, "0,1"),
    "tiny_205k": net(TINY, 5, 10, "0,5"),
    "tiny_287k": net(TINY, 7, 10, "0,5"),
    "tiny_492k": net(TINY, 12, 10, "0,5"),
    "tiny_614k": net(TINY, 15, 10, "0,5"),
    "imagenet_345k": net(IMAGENET, 20, 10, "1,5"),
}

# (what, entry, its value, at most). Peers' figures from the literature and measurements named in
# the README's form.
TARGETS = [
    ("51.2K online, s", "cifar100_51k", lambda e: e["online"]["seconds"], 0.2),
    ("51.2K offline, s", "cifar100_51k", lambda e: e["offline"]["seconds"], 2.5),
    ("51.2K offline, MB", "cifar100_51k", lambda e: 1e-6 * traffic(e["offline"]), 200),
    ("51.2K garbled tables, B a ReLU", "cifar100_51k",
     lambda e: e["table_bytes"] / e["relus"], 2400),
    ("51.2K online traffic, B a ReLU", "cifar100_51k",
     lambda e: traffic(e["online"]) / e["relus"], 800),
    ("AND garbled, ns", "crypto", lambda e: 1e9 / e["garbled_ands_per_second"], 10),
    ("AND evaluated, ns", "crypto", lambda e: 1e9 / e["evaluated_ands_per_second"], 8),
    ("ReLU of 37 bits, us", "crypto", lambda e: e["relu"]["microseconds"], 5),
    ("of it online, us", "crypto", lambda e: e["relu"]["online_microseconds"], 2),
    ("convolution 3x3 64->64 32x32, s", "crypto", lambda e: e["conv"]["seconds"], 0.2),
    ("convolution 3x3 64->64 32x32, MB", "crypto", lambda e: 1e-6 * e["conv"]["bytes"],
     3.75),
]


def traffic(cost):
    return cost["bytes_sent"] + cost["bytes_received"]


def run_json(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit("bench: exit %d: %s" % (done.returncode, " ".join(command)))
    return json.loads(done.stdout.decode())


def command_of(name, args, link=None):
    c = dict(CASES[name], link=link or CASES[name]["link"])
    command = [args.sphynx, "bench", "pi", "--genotype", "published",
               "--init-channels", str(c["channels"]), "--layers", str(c["layers"]),
               "--reduce-at", c["reduce_at"], "--input", c["input"],
               "--classes", str(c["classes"]), "--threads", "1",
               "--queries", str(args.queries), "--json"]
    return command + (["--link", c["link"]] if c["link"] else [])


def median_run(runs, key):
    """The run whose key is the median of all (the lower of two in the middle)."""
    return sorted(runs, key=key)[(len(runs) - 1) // 2]


def measure(name, args):
    runs = [run_json(command_of(name, args)) for _ in range(args.rounds)]
    if not all(r["matches_integer_executor"] for r in runs):
        sys.exit("bench: %s: the logits are not the integer executor's" % name)
    entry = median_run(runs, lambda r: r["online"]["seconds"])
    entry["offline"] = median_run(runs, lambda r: r["offline"]["seconds"])["offline"]
    entry["online_rounds_s"] = [r["online"]["seconds"] for r in runs]
    entry["offline_rounds_s"] = [r["offline"]["seconds"] for r in runs]
    say("  online %.3f s, offline %.2f s, %.0f MB"
        % (entry["online"]["seconds"], entry["offline"]["seconds"],
           1e-6 * traffic(entry["offline"])))
    return entry


FORECAST_CASES = ["cifar100_25k", "cifar100_51k"]
FORECAST_LINKS = {"loopback": 0.2, "lan": 0.1, "wan": 0.1}  # what a forecast may miss by


def measure_forecasts(args):
    """Predicted beside measured online seconds, cases and links in turns so that what else the
    machine does falls on all."""
    rows = {(n, k): [] for n in FORECAST_CASES for k in FORECAST_LINKS}
    for i in range(args.rounds):
        for (name, link), runs in rows.items():
            runs.append(run_json(command_of(name, args, link)))
            say("%d of %d: %s, %s: predicted %.2f of what it took"
                % (i + 1, args.rounds, name, link, runs[-1]["online_ratio"]))
    return [{"network": name, "link": link, "relus": runs[0]["relus"],
             "online_s": [r["online"]["seconds"] for r in runs],
             "predicted_s": [r["predicted"]["online_seconds"] for r in runs],
             "ratio": statistics.median(r["online_ratio"] for r in runs),
             "parts": medians([r["predicted"]["online_parts"] for r in runs]),
             "bytes_equal": all(r["predicted"]["bytes_equal"] for r in runs)}
            for (name, link), runs in rows.items()]


def medians(runs):
    """Number by number over objects of one form."""
    return {k: medians([r[k] for r in runs]) if isinstance(v, dict)
            else statistics.median(r[k] for r in runs) if isinstance(v, (int, float)) else v
            for k, v in runs[0].items()}


def measure_crypto(args):
    return medians([run_json([args.sphynx, "bench", "crypto", "--threads", "1", "--json"])
                    for _ in range(3)])


# --------------------------------------------------------------------- results


def row(name, e):
    return ("| `%s` | %d | %.3f | %.3f | %.3f | %.2f | %.1f | %.2f | %.1f "
            "| %.0f | %.0f | %d | %.0f |") % (
        name, e["relus"], e["load"]["seconds"] + e["online"]["seconds"], e["load"]["seconds"],
        e["online"]["seconds"], 1e-6 * traffic(e["online"]),
        traffic(e["online"]) / e["relus"], e["offline"]["seconds"], 1e-6 * traffic(e["offline"]),
        1e-6 * e["storage_bytes"], e["table_bytes"] / e["relus"], e["online"]["rounds"],
        e["peak_rss_bytes"] / 2**20)


def target_rows(metrics):
    rows = []
    for what, name, value, most in TARGETS:
        if name in metrics:
            v = value(metrics[name])
            rows.append("| %s | %.4g | %g | %s |"
                        % (what, v, most, "reached" if v <= most else "**missed**, %.2f times"
                           % (v / most)))
    return "\n".join(rows)


def forecast_rows(metrics):
    rows = []
    for name, e in metrics.items():
        if name in CASES and "predicted" in e:
            p = e["predicted"]
            rows.append("| `%s` | %.3f | %.3f | %.2f | %.2f | %s |" % (
                name, p["online_seconds"], e["online"]["seconds"], p["offline_seconds"],
                e["offline"]["seconds"],
                "equal" if p["bytes_equal"] else "**differ**"))
    return "\n".join(rows)


def forecasts_table(forecasts):
    if not forecasts:
        return "Not run yet."
    head = ["network", "link", "predicted", "measured", "predicted over measured", "linear",
            "labels", "circuits", "material", "passing", "link", "bytes"]
    about = ", ".join("%s %s" % (k.replace("_", " "), v) for k, v in forecasts["about"].items())
    return "| %s |\n%s|\n%s\n\nThat run: %s." % (
        " | ".join(head), "|---" * len(head), parts_rows(forecasts), about)


def parts_rows(forecasts):
    rows = []
    for f in forecasts["rows"]:
        within = abs(1 / f["ratio"] - 1) <= FORECAST_LINKS[f["link"]]
        rows.append("| `%s` | %s | %.4f | %.4f | %.2f, %s | %s | %s |" % (
            f["network"], f["link"], statistics.median(f["predicted_s"]),
            statistics.median(f["online_s"]), f["ratio"], "within" if within else "**beyond**",
            " | ".join("%.1f" % (1e3 * v) for v in f["parts"].values()),
            "equal" if f["bytes_equal"] else "**differ**"))
    return "\n".join(rows)


def crypto_rows(entry, prefix=""):
    rows = []
    for k, v in entry.items():
        if isinstance(v, dict):
            rows.append(crypto_rows(v, prefix + k + ", "))
        else:
            rows.append("| %s%s | %s |" % (prefix, k.replace("_", " "),
                                           "%.6g" % v if isinstance(v, (int, float)) else v))
    return "\n".join(rows)


def write_page(args, metrics):
    page.write_page(args, metrics, {
        "ROWS": "\n".join(row(n, e) for n, e in metrics.items() if n in CASES),
        "TARGETS": target_rows(metrics), "CRYPTO": crypto_rows(metrics.get("crypto", {})),
        "FORECAST": forecast_rows(metrics),
        "PARTS": forecasts_table(metrics.get("forecasts"))})


def about(args):
    return {
        **page.about_run(args),
        **page.about_machine(**{"threads a party": 1}),
        "rounds": args.rounds,
        "queries a run": args.queries,
        "load_before": args.load,
    }


def parse_args():
    p = argparse.ArgumentParser(prog="scripts/bench/pi",
                                description="Measures private inference on this machine.")
    page.add_only(p, ["crypto"] + list(CASES))
    p.add_argument("--queries", type=int, default=3,
                   help="queries of each run, prepared as a batch (default 3)")
    p.add_argument("--rounds", type=int,
                   help="runs of each case; each makes its network anew (default 1)")
    p.add_argument("--forecasts", action="store_true",
                   help="measure only how well private time is predicted online, at every link, "
                   "and put that into the page beside what is there (--rounds: default 5)")
    page.add_common(p, "pi", "bench-pi")
    args = p.parse_args()
    args.rounds = args.rounds if args.rounds is not None else 5 if args.forecasts else 1
    if args.rounds < 1 or args.queries < 1:
        p.error("--rounds and --queries take 1 or more")
    return args


def main():
    args = parse_args()
    page.choose_out(args, args.only)
    if args.rewrite:
        metrics = page.load_metrics(args)
    elif args.forecasts:
        args.load = os.getloadavg()[0]
        rows = measure_forecasts(args)
        metrics = page.load_metrics(args) if os.path.exists(page.metrics_path(args)) else {}
        metrics.setdefault("about", about(args))
        metrics["forecasts"] = {"rows": rows, "about": about(args)}
        page.write_metrics(args, metrics)
        print(parts_rows(metrics["forecasts"]))
    else:
        args.load = os.getloadavg()[0]
        metrics = {}
        for name in [n for n in ["crypto"] + list(CASES) if not args.only or n in args.only]:
            say(name)
            metrics[name] = measure_crypto(args) if name == "crypto" else measure(name, args)
        metrics["about"] = about(args)
        page.write_metrics(args, metrics)
    write_page(args, metrics)
    print(target_rows(metrics))
    print(page.metrics_path(args))


if __name__ == "__main__":
    main()
