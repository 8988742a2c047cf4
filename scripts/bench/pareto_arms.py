"""What scripts/bench/pareto trains: the methods, and for each the commands that make its networks.

A unit is one search, one random cell or one base model, trained once. An arm's `make` gives the
folder of the trained run. All commands resume; what is finished is not made again.
"""
import collections
import os

SPAN = 0.1    # by how much a random cell's multiply-adds may differ from its searched one's
DRAWS = 200   # random cells looked at for that
FIRST = 1 / 3  # share of the steps that makes a base model
EDGES = 2 / 3  # the same, of edges: as many as 5 of 7

# make(bench, budget, unit); needs(budget, unit): names of what it shares with others, of which one
# alone is under way at any time; parts(bench, budget): [(share of the steps, the words of bench
# train-step or supernet-step)], of which its time is reckoned.
Method = collections.namedtuple("Method", "about make needs parts")
METHODS, PILOT = {}, {}
SELECTED = ("finalists", "best random")


def method(name, about, parts, needs=lambda budget, unit: [], into=METHODS):
    def add(make):
        into[name] = Method(about, make, needs, parts)
        return make
    return add


def made(*names):
    """needs(): "search-2" becomes "search-2 UNIT", "linearized-%d" also has the budget."""
    return lambda budget, unit: ["%s %s" % (n % budget if "%d" in n else n, unit) for n in names]


# ------------------------------------------------------------------- what many of them do


def plan(bench, folder, genotype, budget):
    """The options of the largest network of a cell within the budget, and its multiply-adds."""
    path = os.path.join(folder, "plan.json")
    bench.json_once(path, "plan", "--genotype", genotype, "--relu-budget", budget, "--input",
                    bench.task["input"], "--classes", bench.task["classes"], "--max-layers",
                    bench.task["max_layers"])
    p = bench.read(path)
    return ["--genotype", genotype, "--init-channels", p["init_channels"], "--layers", p["layers"],
            "--reduce-at", ",".join(map(str, p["reduce_at"]))], p["macs"]


def train(bench, folder, unit, shape, *more, share=1.0, lr=None):
    bench.train_once(folder, *shape, "--seed", unit, "--epochs", bench.epochs(share), *more, lr=lr)
    return folder


def search(bench, unit, order):
    """The genotype's file of a search."""
    folder = bench.folder("search-%d" % order, unit)
    if not os.path.exists(os.path.join(folder, "result.json")):
        bench.sphynx("search", "--data", bench.data(), "--out", folder, "--resume", "--order",
                     order, "--seed", unit, "--max-steps", bench.task["search_steps"],
                     *bench.task["search"].split())
    return os.path.join(folder, "genotype.json")


def cells(bench, name, budget, unit, genotype):
    folder = bench.folder("%s-%d" % (name, budget), unit)
    shape, _ = plan(bench, folder, genotype, budget)
    return train(bench, os.path.join(folder, "run"), unit, shape)


def like_cells(bench, budget):
    """The network that all cells of a budget are like, in bench's words."""
    return plan(bench, bench.folder("published-%d" % budget, 1), "published", budget)[0]


def one_cell(bench, budget):
    return [(1.0, like_cells(bench, budget))]


def one_search(order):
    """A search serves both budgets."""
    return lambda bench, budget: one_cell(bench, budget) + [
        (0.5, ["supernet-step", "--order", str(order)])]


def network(name):
    return lambda bench, budget: [(1.0, ["--network", bench.task[name][str(budget)]])]


# ----------------------------------------------------------------------------- the methods


@method("searched, 2nd order", "the cell of a second-order search", one_search(2),
        made("search-2"))
def searched_2(bench, budget, unit):
    return cells(bench, "searched-2", budget, unit, search(bench, unit, 2))


@method("searched, 1st order", "the cell of a first-order search", one_search(1),
        made("search-1"))
def searched_1(bench, budget, unit):
    return cells(bench, "searched-1", budget, unit, search(bench, unit, 1))


@method("published", "the published cell", one_cell, made("published-%d"))
def published(bench, budget, unit):
    return cells(bench, "published", budget, unit, "published")


@method("DeepReDuce-style", "a ResNet-18 with culled and thinned stages", network("deepreduce"))
def deepreduce(bench, budget, unit):
    folder = os.path.join(bench.folder("deepreduce-%d" % budget, unit), "run")
    return train(bench, folder, unit, ["--network", bench.task["deepreduce"][str(budget)]])


@method("CryptoNAS-style", "a chain of convolutions with balanced ReLUs and linear skips",
        network("cryptonas"))
def cryptonas(bench, budget, unit):
    folder = os.path.join(bench.folder("cryptonas-%d" % budget, unit), "run")
    return train(bench, folder, unit, ["--network", bench.task["cryptonas"][str(budget)]])


def base_of_masks(bench, unit):
    return train(bench, os.path.join(bench.folder("base", unit), "run"), unit,
                 ["--network", bench.task["base"]], share=FIRST)


def linearize(bench, folder, budget, unit, *how):
    """A base model learns to do with the budget; without a teacher's part, as all the others."""
    base = base_of_masks(bench, unit)
    bench.train_once(folder, "--linearize", *how, "--relu-budget", budget, "--seed", unit,
                     "--epochs", bench.epochs(FIRST), "--fine-tune-epochs", bench.epochs(FIRST),
                     "--init-from", base, "--teacher", base,
                     *bench.task["linearize"].split())
    return folder


def one_base(bench, budget):
    del budget
    # the base serves both budgets and the random masks; linearizing also asks a teacher
    return [(FIRST / 4 + 1.4 * (1 - FIRST), ["--network", bench.task["base"]])]


@method("linearized", "a narrow ResNet-18, linearized position by position (ReLUPruner's form)",
        one_base, made("base", "linearized-%d"))
def linearized(bench, budget, unit):
    folder = os.path.join(bench.folder("linearized-%d" % budget, unit), "run")
    return linearize(bench, folder, budget, unit, "relupruner", *bench.task["relupruner"].split())


@method("random", "a random cell whose multiply-adds are within 10 % of the searched one's",
        one_cell, made("search-2"))
def random(bench, budget, unit):
    folder = bench.folder("searched-2-%d" % budget, unit)
    wanted = plan(bench, folder, search(bench, unit, 2), budget)[1]
    best = None
    for draw in range(DRAWS):
        drawn = bench.folder("random-%d" % budget, "%d/draw-%d" % (unit, draw))
        genotype = os.path.join(drawn, "genotype.json")
        if not os.path.exists(genotype):
            bench.sphynx("search", "--random", "--out", drawn, "--seed", 1000 * unit + draw)
        shape, macs = plan(bench, drawn, genotype, budget)
        if best is None or abs(macs - wanted) < abs(best[0] - wanted):
            best = (macs, shape)
        if abs(macs - wanted) <= SPAN * wanted:
            break
    run = os.path.join(bench.folder("random-%d" % budget, unit), "run")
    return train(bench, run, unit, best[1])


def shape_of_edges(bench, unit):
    """The options of a network of the relu-ops space with more ReLUs than any budget."""
    folder = bench.folder("relu-ops-cell", unit)
    genotype = os.path.join(folder, "genotype.json")
    if not os.path.exists(genotype):
        bench.sphynx("search", "--random", "--space", "relu-ops", "--out", folder, "--seed",
                     5000 + unit)
    return ["--genotype", genotype] + bench.task["relu_ops"].split()


def edges(bench, name, budget, unit, *by):
    shape = shape_of_edges(bench, unit)
    base = train(bench, os.path.join(bench.folder("relu-ops", unit), "run"), unit, shape,
                 share=EDGES)
    folder = bench.folder("%s-%d" % (name, budget), unit)
    pruned = os.path.join(folder, "pruned.h5")
    bench.json_once(os.path.join(folder, "prune.json"), "prune", "--model", base, "--data",
                    bench.data(), "--relu-budget", budget, "--granularity", "edge", "-o", pruned,
                    "--seed", unit, *bench.task["prune"].split(), *by)
    return train(bench, os.path.join(folder, "run"), unit, shape, "--init-from", pruned,
                 share=1 - EDGES, lr=bench.task["lr_after"])


def one_of_edges(bench, budget):
    del budget
    # the base serves both budgets and the random edges
    return [(EDGES / 4 + 1 - EDGES, shape_of_edges(bench, 1))]


@method("edge-pruned", "a random relu-ops network, ReLU edges pruned by measured values",
        one_of_edges, made("relu-ops"))
def edge_pruned(bench, budget, unit):
    return edges(bench, "edges", budget, unit)


@method("random masks", "the same base models as the linearized, as many positions of each layer "
        "kept by chance", one_base, made("base", "linearized-%d"))
def random_masks(bench, budget, unit):
    base = base_of_masks(bench, unit)
    folder = bench.folder("random-masks-%d" % budget, unit)
    pruned = os.path.join(folder, "pruned.h5")
    bench.json_once(os.path.join(folder, "prune.json"), "prune", "--model", base, "--data",
                    bench.data(), "--granularity", "pixel", "--random", "--like",
                    linearized(bench, budget, unit), "-o", pruned, "--seed", unit,
                    *bench.task["prune_random"].split())
    return train(bench, os.path.join(folder, "run"), unit, ["--network", bench.task["base"]],
                 "--init-from", pruned, share=1 - FIRST)


@method("random edges", "the same networks as the edge-pruned, edges pruned by chance",
        one_of_edges, made("relu-ops"))
def random_edges(bench, budget, unit):
    return edges(bench, "random-edges", budget, unit, "--random",
                 *bench.task["prune_random"].split())


def selection(bench, budget):
    """A selection by evidence: what it tells. One serves all units: its cells are trained anew, as
    those of the other methods; its own last trainings are as few as can be."""
    folder = bench.folder("selection", budget)
    path = os.path.join(folder, "finalists.json")
    if not os.path.exists(path):
        bench.sphynx("search", "--data", bench.data(), "--out", folder, "--resume", "--finalists",
                     bench.task["finalists"], "--relu-budget", budget, "--final-recipe",
                     bench.recipe(), "--final-epochs", bench.epochs(1), "--final-seeds", 2,
                     "--set-aside", bench.task["set_aside"], *bench.task["search"].split())
    return bench.read(path)


def chosen(kind):
    """make() of the best cell of a kind that a selection found."""
    def make(bench, budget, unit):
        told = selection(bench, budget)
        name = next(f["name"] for f in told["finalists"] if f["kind"] == kind)
        genes = next(c["genotype"] for c in told["cells"] if c["name"] == name)
        genotype = os.path.join(bench.folder("selection", budget), kind + ".json")
        bench.write(genotype, bench.text(genes))
        return cells(bench, "best-" + kind, budget, unit, genotype)
    return make


def one_of_a_selection(bench, budget):
    # 3 searches, about 4 trainings in rungs and 6 at the end, for the units of both
    units = 2 * len(bench.units(budget))
    return [(1 + 10 / units, like_cells(bench, budget)),
            (3 / units, ["supernet-step", "--order", "2"])]


method(SELECTED[0], "the best searched cell of a selection by evidence: one selection, whose cell "
       "is trained anew for every unit", one_of_a_selection, made("selection-%d"))(
           chosen("searched"))
method(SELECTED[1], "the best random cell of that selection, at equal compute, likewise",
       one_of_a_selection, made("selection-%d"))(chosen("random"))


# ------------------------------------------------------------------------------- the pilot


def kept_from(counts, budget):
    """Shares of layers that keep the first positions of all up to the budget."""
    shares = []
    for n in counts:
        shares.append(min(1.0, max(0.0, budget / n)))
        budget -= min(n, budget)
    return shares


def placed(name, late):
    def make(bench, budget, unit):
        counts = bench.task["base_counts"]
        shares = (kept_from(counts[::-1], budget)[::-1] if late else kept_from(counts, budget))
        folder = os.path.join(bench.folder("%s-%d" % (name, budget), unit), "run")
        return linearize(bench, folder, budget, unit, "senet", "--linear-stem", "--linearize-after",
                         1, "--keep-shares", ",".join("%.9g" % s for s in shares))
    return make


for _name, _late in (("early", False), ("late", True)):
    method(_name, "ReLUs of a narrow ResNet-18 in its %s layers alone"
           % ("last" if _late else "first"), one_base, made("base"), PILOT)(placed(_name, _late))


@method("none", "the same network without a ReLU", lambda bench, budget: [
    (1.0, ["--network", bench.task["linear"]])], into=PILOT)
def none(bench, budget, unit):
    del budget
    folder = os.path.join(bench.folder("none", unit), "run")
    return train(bench, folder, unit, ["--network", bench.task["linear"]])
