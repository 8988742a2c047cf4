"""What the comparisons share: their common options, what is known of a run and its machine, and
the page (README.md) made of metrics.json, NOTES.md and a form results_*.md.in.
"""
import datetime
import json
import os
import platform
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def say(text):
    print(text, file=sys.stderr, flush=True)


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


# --------------------------------------------------------------------- options


def add_only(p, cases):
    p.add_argument("--only", action="append", choices=sorted(cases), metavar="CASE",
                   help="this case only; may be given several times: " + ", ".join(cases))


def add_common(p, name, part, build="release"):
    """--out, --sphynx and --rewrite; results/NAME is for whole runs, build/PART for others."""
    p.set_defaults(name=name, part=part)
    p.add_argument("--out", metavar="DIR", help=f"default: results/{name}; build/{part} for a "
                   "partial run, so that it does not replace a whole one")
    p.add_argument("--sphynx", default=os.path.join(ROOT, "build", build, "bin", "sphynx"),
                   help=f"the program to measure (default: build/{build}/bin/sphynx)")
    p.add_argument("--rewrite", action="store_true",
                   help="measure nothing: write README.md again from metrics.json and NOTES.md")


def choose_out(args, partial):
    args.out = args.out or os.path.join(ROOT, *(("build", args.part) if partial
                                                else ("results", args.name)))
    os.makedirs(args.out, exist_ok=True)


# --------------------------------------------------------------------- the run


def about_run(args, commit=None):
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": " ".join([f"scripts/bench/{args.name}"] + sys.argv[1:]),
        "commit": commit or output_of("git", "describe", "--always", "--abbrev=12", "--dirty",
                                      "--exclude=*"),
        "sphynx": output_of(args.sphynx, "--version"),
    }


def about_machine(**threads):
    return {
        "cpu": first_match("/proc/cpuinfo", r"model name\s*:\s*(.*)"),
        "cores": os.cpu_count(),
        **threads,
        "memory_bytes": int(first_match("/proc/meminfo", r"MemTotal:\s*(\d+)")) * 1024,
        "system": first_match("/etc/os-release", r'PRETTY_NAME="(.*)"'),
        "kernel": platform.release(),
    }


# -------------------------------------------------------------------- the page


def metrics_path(args):
    return os.path.join(args.out, "metrics.json")


def load_metrics(args):
    try:
        with open(metrics_path(args)) as f:
            return json.load(f)
    except (OSError, ValueError) as error:
        sys.exit("bench: nothing to write anew: %s: %s" % (metrics_path(args), error))


def write(path, text):
    with open(path + ".tmp", "w") as f:
        f.write(text)
    os.replace(path + ".tmp", path)


def write_metrics(args, metrics):
    write(metrics_path(args), json.dumps(metrics, indent=2) + "\n")


def cases_of(metrics):
    """The entries that are cases, as (name, entry)."""
    return [(n, e) for n, e in metrics.items() if n != "about"]


def notes_of(args):
    """{case: text} from the `## case` sections of NOTES.md; the text before them under ''."""
    path, notes = os.path.join(args.out, "NOTES.md"), {}
    if os.path.exists(path):
        with open(path) as f:
            parts = re.split(r"^## +(.*)$", f.read(), flags=re.M)
        notes[""] = re.sub(r"^# .*\n", "", parts[0]).strip()
        notes.update({k.strip(): v.strip() for k, v in zip(parts[1::2], parts[2::2])})
    return notes


def write_page(args, metrics, filled):
    """README.md: the form with @NAME@ filled in; NOTES and ABOUT are the same for all."""
    told = [("### " + k + "\n\n" if k else "") + v for k, v in notes_of(args).items() if v]
    filled = {"NOTES": "\n\n".join(told) if told else "None yet.",
              "ABOUT": "\n".join("| %s | %s |" % item for item in metrics["about"].items()),
              **filled}
    with open(os.path.join(HERE, f"results_{args.name}.md.in")) as f:
        text = re.sub(r"@(\w+)@", lambda m: filled[m.group(1)], f.read())
    write(os.path.join(args.out, "README.md"), text)
