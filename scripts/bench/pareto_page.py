"""What scripts/bench/pareto concludes from its units, and the page about it."""
import os
import statistics

import figure
import page
import stats

LEVEL = 0.95
ROUNDS = 2000
# Fixed before any result: (name, method, against, paired by unit, about what).
CONTRASTS = [
    ("search over random cells", "searched, 2nd order", "random", False),
    ("finalists over the best random cell", "finalists", "best random", False),
    ("measured over random edges", "edge-pruned", "random edges", True),
    ("linearized over random masks", "linearized", "random masks", True)]
SURE = 5  # pilot: sigmas that early and late are to be apart


# ----------------------------------------------------------------------- the contrasts


def matched(a, b):
    """top1 of the units that both rows have."""
    of = [{u["unit"]: u["top1"] for u in r["units"]} for r in (a, b)]
    units = sorted(set(of[0]) & set(of[1]))
    return [[x[u] for u in units] for x in of]


def compare(name, a, b, paired):
    """One contrast, in shares of 1; None where there are too few units."""
    x, y = matched(a, b) if paired else (a["top1"], b["top1"])
    if min(len(x), len(y)) < 2:
        return None
    d = (stats.paired if paired else stats.welch)(x, y, LEVEL)
    both = [p - q for p, q in zip(x, y)]
    low, high = (stats.bootstrap(both, [0.0], LEVEL, ROUNDS) if paired
                 else stats.bootstrap(x, y, LEVEL, ROUNDS))
    return {"name": "%s, %d ReLUs" % (name, a["relu_budget"]), "task": a["task"],
            "difference": d["difference"], "low": d["low"], "high": d["high"], "p": d["p"],
            "paired": paired, "units": [len(x), len(y)],
            "planned": [a["seeds_planned"], b["seeds_planned"]],
            "bootstrap_low": low, "bootstrap_high": high}


def contrasts(rows):
    by = {(r["task"], r["method"], r["relu_budget"]): r for r in rows}
    found = []
    for task, budget in sorted({(r["task"], r["relu_budget"]) for r in rows}):
        for name, a, b, paired in CONTRASTS:
            a, b = by.get((task, a, budget)), by.get((task, b, budget))
            if a and b:
                found.append(compare(name, a, b, paired))
    found = [c for c in found if c]
    for c, p in zip(found, stats.holm([c["p"] for c in found])):
        c["p_holm"] = p
    return found


# --------------------------------------------------------------------------- in words


def points(x):
    return "%.2f" % (100 * x)


def percent(r):
    return points(r["top1_mean"]) + " %"


def interval(d):
    return "95 %% interval %s to %s" % (points(d["low"]), points(d["high"]))


def listed(names):
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def said(c, better, worse):
    """A contrast in words. better, worse: what its difference is of."""
    d = points(abs(c["difference"]))
    where = "%s %s points %s %s (%s; p %.3f after Holm)" % (
        better, d, "above" if c["difference"] >= 0 else "below", worse, interval(c), c["p_holm"])
    if c["p_holm"] < 1 - LEVEL:
        verdict = "a difference" if c["difference"] > 0 else "a loss"
    else:
        verdict = ("not told apart; more than %s points for it, or %s against it, are outside of "
                   "the interval" % (points(max(0, c["high"])), points(max(0, -c["low"]))))
    short = "" if c["units"] == c["planned"] else ", after %d and %d of %d units" % (
        *c["units"], c["planned"][0])
    return "%s: %s%s" % (where, verdict, short)


def equal_relus(rows):
    """What is best within a budget, and what cannot be told from it."""
    best, *others = sorted(rows, key=lambda r: -r["top1_mean"])
    if not others:
        return "%s alone: %s." % (best["method"], percent(best))
    text = "highest is %s with %s, then %s with %s" % (
        best["method"], percent(best), others[0]["method"], percent(others[0]))
    tested = [(r, stats.welch(best["top1"], r["top1"], LEVEL)) for r in others
              if min(best["seeds"], r["seeds"]) > 1]
    if not tested:
        return text + "; of one unit each, so chance is not told from a difference."
    near = [r["method"] for r, d in tested if d["low"] <= 0]
    far = ["%s (%s)" % (r["method"], interval(d)) for r, d in tested if d["low"] > 0]
    return (text + ". Not told apart from the highest: %s. Below it: %s." % (
        listed(near) if near else "none", listed(far) if far else "none"))


def front(rows, cost, words):
    """What no cheaper row equals, from the cheapest up."""
    found, best = [], -1.0
    for r in sorted((r for r in rows if cost(r) is not None), key=lambda r: (cost(r),
                                                                          -r["top1_mean"])):
        if r["top1_mean"] > best:
            best = r["top1_mean"]
            found.append("%s at %d ReLUs (%s, %s)" % (r["method"], r["relu_budget"],
                                                      words(cost(r)), percent(r)))
    return ("; ".join(found) + ".") if found else "nothing was measured yet."


def seconds(r):
    return None if r["online_s"] is None else r["online_s"] + r["offline_s"]


def pilot_words(pilot):
    by = {(r["task"], r["method"], r["relu_budget"]): r for r in pilot}
    lines = []
    for (task, name, budget), early in sorted(by.items()):
        late = by.get((task, "late", budget))
        if name != "early" or late is None:
            continue
        linear = by.get((task, "none", 0))
        text = "%s, %d ReLUs: early %s, late %s" % (task, budget, percent(early), percent(late))
        if linear:
            text += ", without ReLUs %s" % percent(linear)
        if min(early["seeds"], late["seeds"]) > 1:
            sigma = ((statistics.variance(early["top1"]) + statistics.variance(late["top1"])) /
                     2) ** 0.5
            apart = abs(early["top1_mean"] - late["top1_mean"])
            text += "; %s points apart, %s of the units' deviation of %s: %s" % (
                points(apart), "%.1f times" % (apart / sigma) if sigma else "many times",
                points(sigma), "it matters where ReLUs are, so the task can tell methods apart"
                if apart >= SURE * sigma else
                "below the %d asked for, so the task tells methods apart poorly" % SURE)
        lines.append("- " + text + ".")
    return "\n".join(lines) or "- not run yet."


def words(metrics):
    """The page's conclusions, as a list."""
    told = []
    for task in sorted({r["task"] for r in metrics["rows"]}):
        rows = [r for r in metrics["rows"] if r["task"] == task]
        for budget in sorted({r["relu_budget"] for r in rows}):
            told.append("**%s, %d ReLUs**: %s" % (task, budget, equal_relus(
                [r for r in rows if r["relu_budget"] == budget])))
        told += ["**%s, by multiply-adds**, what nothing with fewer equals: %s" % (task, front(
            rows, lambda r: r["macs"], lambda x: "%.1f M" % (x / 1e6))),
                 "**%s, by private time online**, likewise: %s" % (task, front(
                     rows, lambda r: r["online_s"], lambda x: "%.0f ms" % (1e3 * x))),
                 "**%s, by private time in all**, likewise: %s" % (task, front(
                     rows, seconds, lambda x: "%.0f ms" % (1e3 * x)))]
    for c in metrics["contrasts"]:
        about = next(k for k in CONTRASTS if c["name"].startswith(k[0] + ", "))
        told.append("**%s** (%s): %s." % (c["name"], c["task"], said(c, about[1], about[2])))
    return told


def finished(metrics):
    have = sum(r["seeds"] for r in metrics["rows"])
    want = sum(r["seeds_planned"] for r in metrics["rows"])
    if have == want:
        return "All units of these rows are there."
    return ("**Not finished**: %d of %d units of these rows are there, and `scripts/bench/pareto` "
            "makes the others. Until then intervals are wide, and p is looked at early, so of no "
            "test." % (have, want))


def about_seconds(rows):
    loaded = [r for r in rows if r.get("load", 0) > 1]
    if not loaded:
        return "Seconds were measured with nothing else running."
    return ("Seconds of %d of %d rows were measured while the machine did other work (load %.1f to "
            "%.1f), so they are too long; what `sphynx cost --usual-rates` forecasts is beside "
            "them." % (len(loaded), len(rows), min(r["load"] for r in loaded),
                       max(r["load"] for r in loaded)))


# ---------------------------------------------------------------------------- the page


def pictures(metrics):
    panels = []
    for x_name, key, scale in (("ReLUs", lambda r: r["relus"], 1),
                               ("online, ms", lambda r: r["online_s"], 1e3),
                               ("offline and online, ms", seconds, 1e3)):
        series = {}
        for r in metrics["rows"]:
            if r["task"] == metrics["rows"][0]["task"] and key(r):
                series.setdefault(r["method"], []).append((
                    scale * key(r), 100 * r["top1_mean"],
                    100 * r["top1_std"] if r["top1_std"] else None))
        panels.append(figure.scatter(series, x_name, "top-1, %"))
    return figure.beside(panels)


def number(x, form, scale=1.0):
    return "" if x is None else form % (scale * x)


def row_line(r):
    spread = number(r["top1_std"], " ± %.2f", 100)
    return "| " + " | ".join([
        r["method"], "%d" % r["relu_budget"], "%d" % r["relus"],
        number(r["interactive_positions"], "%d"), number(r["macs"], "%.1f", 1e-6),
        points(r["top1_mean"]) + spread, "%d of %d" % (r["seeds"], r["seeds_planned"]),
        number(r["integer_top1_mean"], "%.2f", 100),
        number(r["online_s"], "%.0f", 1e3), number(r["online_s_predicted"], "%.0f", 1e3),
        number(r["offline_s"], "%.0f", 1e3), number(r["offline_s_predicted"], "%.0f", 1e3),
        number(r["online_bytes"], "%.2f", 1e-6), number(r["offline_bytes"], "%.1f", 1e-6)]) + " |"


def contrast_line(c):
    return "| %s | %s | %s to %s | %s to %s | %.3f | %.3f |" % (
        c["name"], points(c["difference"]), points(c["low"]), points(c["high"]),
        points(c["bootstrap_low"]), points(c["bootstrap_high"]), c["p"], c["p_holm"])


def no_integers(rows):
    told = sorted({"- %s, %d ReLUs: %d of %d units: %s" % (
        r["method"], r["relu_budget"], len(bad), r["seeds"], bad[0])
                   for r in rows for bad in [[u["no_integers"] for u in r["units"]
                                              if "no_integers" in u]] if bad})
    return "\n\nNot made integers:\n\n" + "\n".join(told) if told else ""


def write_page(args, metrics):
    import pareto_arms
    rows = metrics["rows"]
    steps = sorted({r["steps"] for r in rows})
    page.write_page(args, metrics, {
        "FINISHED": finished(metrics), "STEPS": " or ".join(map(str, steps)),
        "WORDS": "\n".join("- " + w for w in words(metrics)) or "- nothing yet.",
        "ROWS": "\n".join(map(row_line, rows)) + no_integers(rows),
        "SECONDS": about_seconds(rows),
        "CONTRASTS": "\n".join(map(contrast_line, metrics["contrasts"])) or
                     "| none yet | | | | | |",
        "PILOT": pilot_words(metrics["pilot"]),
        "METHODS": "\n".join("- **%s**: %s." % (n, m.about)
                             for n, m in pareto_arms.METHODS.items()),
        "TASKS": ", ".join(sorted({r["task"] for r in rows}))})
    page.write(os.path.join(args.out, "pareto.svg"), pictures(metrics))


def save(args, metrics):
    metrics["contrasts"] = contrasts(metrics["rows"])
    page.write_metrics(args, metrics)
    if metrics["rows"]:
        write_page(args, metrics)
