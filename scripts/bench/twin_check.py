#!/usr/bin/env python3
"""Checks the PyTorch twin against golden files: twin_check.py DIR|FILE...

Loads each file's weights into the twin, runs it, and compares every dataset the file derives from
its inputs. Prints the largest relative error per quantity; exits 1 where one is out of tolerance.
"""
import os
import sys

try:
    import h5py
    import torch
except ImportError as missing:
    print("skipped: %s" % missing)
    sys.exit(77)  # CTest's code for a skipped test here

import golden
import twin

# A gradient is zero in truth (a shift the next batch norm removes) where the stored float32 one is
# off by more than this from float64; what is stored is rounding noise, compared absolutely. The
# finite difference of the hessian is off by as much only because a ReLU flips: it stays relative.
ZERO_GRAD = 1e-2
# Noise of a sum that cancels, per unit of upstream gradient norm (below 1 under a mean loss).
NOISE = 1e-6


def tensor(group, name, dtype=None):
    t = torch.from_numpy(group[name][()])
    return t if dtype is None or t.dtype == torch.int64 else t.to(dtype)


class Report:
    """Largest and median error per quantity (first path component) of one file."""

    def __init__(self, limit):
        self.limit, self.errors, self.noise = limit, {}, 0.0

    def compare(self, record, group, prefix="", marked=None, upstream=1.0):
        """`marked` has the datasets whose attribute tells the zero gradients; default: `group`."""
        marked = group if marked is None else marked
        for path, ours in record.items():
            if path not in group:
                continue
            theirs = torch.from_numpy(group[path][()])
            key = path.split("/")[0]
            if is_zero(key, marked[path], ours, theirs):
                self.noise = max(self.noise, (ours - theirs).abs().max().item() / upstream)
            else:
                self.errors.setdefault(prefix + key, []).append((golden.rel_l2(ours, theirs), path))

    def show(self, title):
        """Prints the table; True if every quantity is in tolerance."""
        good = self.noise <= NOISE
        print(title)
        for key, found in sorted(self.errors.items()):
            values = sorted(e for e, _ in found)
            worst, where = max(found)
            limit = self.limit(key)
            good = good and worst <= limit
            print("  %-36s worst %.2e  median %.2e  of %4d  limit %.0e  %s"
                  % (key, worst, values[len(values) // 2], len(found), limit,
                     "" if worst <= limit else "FAIL " + where))
        print("  %-36s worst %.2e  (absolute)%21slimit %.0e  %s"
              % ("noise of zero gradients", self.noise, "", NOISE,
                 "" if self.noise <= NOISE else "FAIL"))
        return good


def is_zero(key, stored, ours, theirs):
    if key.startswith(("hessian", "alpha")):
        return False
    error = stored.attrs.get("relerr_f32_vs_f64")
    if error is None and "grad" in key:  # a file without marks: judged by size
        return max(ours.norm().item(), theirs.norm().item()) <= NOISE
    return error is not None and error > ZERO_GRAD


def check_ops(f):
    report = Report(lambda key: 1e-5)
    groups = []
    f.visititems(lambda n, o: groups.append(n) if "input" in getattr(o, "keys", list)() else None)
    for name in groups:
        g = f[name]
        op = golden.make_named_op(name.split("/")[0], int(g.attrs.get("C_in", 0)),
                                  int(f.attrs["C"]), int(g.attrs.get("stride", 1)),
                                  int(g.attrs.get("affine", 0)))
        golden.load(op, g, buffer="buffer_before")
        args = tensor(g, "input"), tensor(g, "grad_output")
        report.compare(golden.record_op(op, *args), g, upstream=args[1].norm().item())
    return report.show("operators (%d)" % len(groups))


def check_cell(f):
    a = f.attrs
    cell = twin.SearchCell(int(a["C_pp"]), int(a["C_p"]), int(a["C"]), bool(a["reduction_p"]),
                           bool(a["reduction"]), int(a["n_nodes"]),
                           twin.RELU_PRIMITIVES if a.get("space") == "relu-ops"
                           else twin.PRIMITIVES)
    golden.load(cell, f, buffer="buffer_before")
    record = golden.record_cell(cell, tensor(f, "s0"), tensor(f, "s1"),
                                [tensor(f["alpha"], str(i)) for i in range(int(a["n_nodes"]))],
                                tensor(f, "grad_output"))
    report = Report(lambda key: 1e-5)
    report.compare(record, f, upstream=tensor(f, "grad_output").norm().item())
    return report.show("search cell")


def supernet_of(f):
    a = f.attrs
    net = twin.Supernet(int(a["C_in"]), int(a["init_channels"]), int(a["n_classes"]),
                        int(a["layers"]), twin.ast.literal_eval(a["reduce_loc"]))
    return golden.load(net, f, buffer="buffer_before")


def batch_of(f, step, dtype):
    return [tensor(f["data/" + step], n, dtype) for n in ("trn_X", "trn_y", "val_X", "val_y")]


def check_supernet(f):
    net = supernet_of(f)
    trn_x, trn_y = batch_of(f, "step1", None)[:2]
    report = Report(lambda key: 1e-2 if "grad" in key else 1e-5)
    report.compare(golden.record_supernet(net, trn_x, trn_y), f)
    double = golden.record_supernet(golden.to_double(net), trn_x.double(), trn_y)
    report.compare(double, f["f64"], "f64/", marked=f)
    return report.show("supernet")


def check_steps(f, folder):
    """All search step files beside a supernet file, each variant from its first step on."""
    good = True
    for variant in ("correct", "as_published"):
        paths = [os.path.join(folder, "search_step%d_%s.h5" % (i, variant)) for i in (1, 2)]
        paths = [path for path in paths if os.path.exists(path)]
        for dtype, label in ((torch.float32, ""), (torch.float64, "f64/")):
            search = None
            for path in paths:
                with h5py.File(path, "r") as g:
                    search = search or search_of(f, g, dtype)
                    record = golden.record_step(search, variant,
                                                *batch_of(f, g.attrs["step"], dtype))
                    report = Report(step_limit)
                    report.compare(record, g if label == "" else g["f64"], label, marked=g)
                good = report.show(label + os.path.basename(path)) and good
    return good


def search_of(f, g, dtype):
    return twin.Search(supernet_of(f).to(dtype), 2, xi=float(g.attrs["xi"]),
                       clip=float(g.attrs["w_grad_clip"]),
                       published_hessian=g.attrs["variant"] == "as_published")


def step_limit(key):
    """One ReLU flip in w' moves the finite difference by about 1 %; in float64 none flips."""
    if key.startswith("f64/"):
        return 1e-9
    return 3e-2 if key.startswith(("hessian", "alpha")) else 1e-2


def final_of(f, aux=True):
    a = f.attrs
    net = twin.FinalCNN(int(a["size"]), 3, int(a["init_channels"]), int(a["n_classes"]),
                        int(a["layers"]), twin.ast.literal_eval(a["reduce_loc"]),
                        twin.parse_genotype(a["genotype"]), aux)
    return golden.load(net, f, buffer="buffer")


def check_final(f, path):
    model = final_of(f)
    x, y, weight = tensor(f, "input"), tensor(f, "labels"), float(f.attrs["aux_weight"])
    report = Report(lambda key: 1e-5)
    report.compare(golden.record_final_eval(model, x), f)
    good = report.show("final network, evaluation")
    beside = path[:-len(".h5")]
    report = Report(lambda key: 1e-2 if "grad" in key else 1e-4)
    if os.path.exists(beside + "_train.h5"):
        with h5py.File(beside + "_train.h5", "r") as g:
            report.compare(golden.record_final_train(model, x, y, weight), g)
        good = report.show("final network, training") and good
    report = Report(lambda key: 1e-2 if "grad" in key else 1e-4)
    if os.path.exists(beside + "_droppath.h5"):
        with h5py.File(beside + "_droppath.h5", "r") as g:
            masks = {n: tensor(g["mask"], n) for n in g["mask"]}
            golden.check_names(golden.drop_paths(model), g["mask"])
            report.compare(golden.record_final_droppath(
                model, x, y, weight, float(g.attrs["drop_path_prob"]), masks), g)
        good = report.show("final network, drop-path") and good
    return good


def check_file(path):
    with h5py.File(path, "r") as f:
        print("== " + os.path.basename(path))
        if "C_pp" in f.attrs:
            return check_cell(f)
        if "desc" in f.attrs:
            return check_ops(f)
        if "reduction_cells" in f.attrs:
            return check_supernet(f) and check_steps(f, os.path.dirname(path))
        if "genotype" in f.attrs and "param" in f:
            return check_final(f, path)
        print("  checked with the file its weights are in")
        return True


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: twin_check.py DIR|FILE...")
    files = []
    for arg in sys.argv[1:]:
        if os.path.isdir(arg):
            files += sorted(os.path.join(arg, n) for n in os.listdir(arg) if n.endswith(".h5"))
        else:
            files.append(arg)
    torch.set_num_threads(os.cpu_count() or 1)
    results = [check_file(path) for path in files]
    print("all within tolerance" if all(results) else "MISMATCH")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
