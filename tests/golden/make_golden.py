#!/usr/bin/env python3
"""Writes the golden files of this folder: make_golden.py [DIR]. Format: format.md beside it.

Every file comes from the PyTorch twin (scripts/bench), itself checked against files made by the
published implementation. Networks are as small as the search space allows: two channels, two cells.
"""
import os
import sys

import h5py
import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "scripts", "bench"))
import golden  # noqa: E402
import twin  # noqa: E402

# What float32 may differ from float64, a fifth of what a reader is asked to reach in a cell, and in
# a network less than one flipped ReLU makes. A seed that does worse is no golden one: change it.
FINE, COARSE = 2e-6, 2e-4
# Elements of the largest gradient the drop-path file holds in full.
SMALL = 2000


def shaken(module, generator):
    """Moves affine parameters and running statistics off the values that hide mistakes."""
    def uniform(t, low, high):
        t.copy_(torch.rand(t.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for m in module.modules():
            if isinstance(m, torch.nn.BatchNorm2d):
                uniform(m.running_mean, -0.5, 0.5)
                uniform(m.running_var, 0.6, 1.5)
                if m.affine:
                    uniform(m.weight, 0.6, 1.5)
                    uniform(m.bias, -0.3, 0.3)
    return module


def draw(generator, *shape):
    return torch.randn(*shape, generator=generator)


def seeded(seed):
    torch.manual_seed(seed)  # module initialisation
    return torch.Generator().manual_seed(seed)


class File:
    """One golden file being written."""

    def __init__(self, folder, name, attrs, limit=COARSE):
        self.limit = limit
        self.path = os.path.join(folder, name)
        # The 1.8 format: object headers a third as large, and there are thousands of them.
        self.h5 = h5py.File(self.path, "w", libver=("v108", "v108"))
        self.attrs(self.h5, attrs)
        self.worst = 0.0

    @staticmethod
    def attrs(group, values):
        for key, value in values.items():
            group.attrs[key] = np.int64(value) if isinstance(value, int) else value

    def put(self, group, path, tensor, dtype=None):
        data = tensor.detach().numpy()
        if data.dtype == np.float64 and dtype is None:
            data = data.astype(np.float32)
        packed = {"compression": "gzip", "shuffle": True} if tensor.numel() > golden.LARGE else {}
        return group.create_dataset(path, data=data, **packed)

    def record(self, group, single, double, marked, kept, wide):
        """Stores `single`; `marked` datasets get their error against `double`, `kept` ones their
        float64 value under f64/, in float64 where `wide` (else rounded to float32)."""
        for path, tensor in single.items():
            dataset = self.put(group, path, tensor)
            if path.startswith(marked):
                error = relerr(tensor, double[path])
                dataset.attrs["relerr_f32_vs_f64"] = error
                if error < 1.0 and not path.startswith("momentum"):  # of zero gradients: only noise
                    self.worst = max(self.worst, error)
        for path, tensor in double.items():
            if path.startswith(kept):
                self.put(group, "f64/" + path, tensor, np.float64 if wide else None)

    def close(self):
        self.h5.close()
        print("%-28s %8d bytes, float32 off by at most %.1e"
              % (os.path.basename(self.path), os.path.getsize(self.path), self.worst))
        if self.worst > self.limit:
            sys.exit("float32 is too far from float64: change the seed")


def relerr(single, double):
    """||f32 - f64|| / ||f64||; huge where the truth is zero."""
    diff = (single.double() - double).norm().item()
    return diff / max(double.norm().item(), 1e-300) if diff > 0.0 else 0.0


def make_ops(folder):
    c, n, size = 4, 2, 6
    f = File(folder, "ops.h5", {"C": c, "N": n, "S": size, "desc": "per-primitive golden data"},
             FINE)
    cases = [(name, s, a) for name in twin.PRIMITIVES for s, a in ((1, 0), (2, 1))]
    blocks = (("FactorizedReduce_noReLU", 6), ("StdConv_noReLU", 6), ("StdConv", 4 * c),
              ("stem", 3))
    groups = [("%s/s%d/affine%d" % (name, s, a), name, c, s, a, {"stride": s, "affine": a})
              for name, s, a in cases]
    groups += [(name, name, c_in, 1, 0, {"C_in": c_in}) for name, c_in in blocks]
    for i, (path, name, c_in, stride, affine, attrs) in enumerate(groups):
        seed = 101 + i
        g = seeded(seed)
        op = shaken(golden.make_named_op(name, c_in, c, stride, affine), g)
        double = golden.to_double(op)
        x = draw(g, n, c_in, size, size)
        with torch.no_grad():
            grad_output = draw(g, *golden.to_double(op).eval()(x.double()).shape)
        group = f.h5.create_group(path)
        f.attrs(group, dict(attrs, seed=seed))
        f.put(group, "input", x)
        f.put(group, "grad_output", grad_output)
        for kind in ("param", "buffer_before", "buffer_after", "grad_param", "f64/grad_param"):
            group.require_group(kind)
        f.record(group, golden.record_op(op, x, grad_output),
                 golden.record_op(double, x.double(), grad_output.double()),
                 ("grad_param",), ("grad_input", "grad_param", "output_train"), False)
    f.close()


def make_cell(folder, name, seed, c_pp, c_p, reduction_p, reduction, space="sphynx"):
    c, n, size = 2, 2, 8
    attrs = {"C_pp": c_pp, "C_p": c_p, "C": c, "N": n, "n_nodes": twin.NODES,
             "reduction_p": reduction_p, "reduction": reduction, "seed": seed}
    if space != "sphynx":
        attrs["space"] = space
    f = File(folder, name, attrs, FINE)
    primitives = twin.PRIMITIVES if space == "sphynx" else twin.RELU_PRIMITIVES
    g = seeded(seed)
    cell = shaken(twin.SearchCell(c_pp, c_p, c, bool(reduction_p), bool(reduction),
                                  primitives=primitives), g)
    double = golden.to_double(cell)
    s0 = draw(g, n, c_pp, size << reduction_p, size << reduction_p)
    s1 = draw(g, n, c_p, size, size)
    alphas = [draw(g, node + 2, len(twin.PRIMITIVES)) for node in range(twin.NODES)]
    grad_output = draw(g, n, c, size >> reduction, size >> reduction)
    for path, tensor in (("s0", s0), ("s1", s1), ("grad_output", grad_output)):
        f.put(f.h5, path, tensor)
    for i, alpha in enumerate(alphas):
        f.put(f.h5, "alpha/%d" % i, alpha)
    single = golden.record_cell(cell, s0, s1, alphas, grad_output)
    wide = golden.record_cell(double, s0.double(), s1.double(), [a.double() for a in alphas],
                              grad_output.double())
    f.record(f.h5, single, wide, ("grad", "output_train"), ("grad", "output_train"), False)
    f.close()


ALL = ("",)
STEP_KEPT = ("alpha_", "dalpha", "dw_norm", "eps", "hessian", "weight_grad_norm", "weight_step")
CLIP = 0.5  # below the gradient's norm, so that clipping happens
STEP_ATTRS = {"alpha_betas": np.array([0.5, 0.999]), "alpha_lr": 3e-4, "alpha_weight_decay": 1e-3,
              "w_grad_clip": CLIP, "w_lr": 0.025, "w_momentum": 0.9, "w_weight_decay": 3e-4,
              "xi": 0.025}


def make_supernet(folder, seed=300):
    c_in, channels, classes, layers, batch, size, reduce_loc = 3, 1, 10, 2, 4, 16, (0,)
    attrs = {"C_in": c_in, "init_channels": channels, "n_classes": classes, "layers": layers,
             "batch": batch, "size": size, "reduce_loc": str(list(reduce_loc)), "seed": seed}
    g = seeded(seed)
    net = twin.Supernet(c_in, channels, classes, layers, reduce_loc)
    with torch.no_grad():
        for alpha in net.alphas():
            alpha.copy_(0.5 * draw(g, *alpha.shape))
        for tensor in (net.net.stem[1].weight, net.net.stem[1].bias):
            tensor.add_(0.3 * draw(g, *tensor.shape))
    attrs["n_weights"] = sum(w.numel() for w in net.weights())
    attrs["reduction_cells"] = str(net.net.reduction_cells)
    f = File(folder, "search_cnn.h5", attrs)
    batches = {}
    for step in ("step1", "step2"):
        xy = [t for _ in range(2) for t in (draw(g, batch, c_in, size, size),
                                            torch.randint(classes, (batch,), generator=g))]
        batches[step] = xy
        for name, tensor in zip(("trn_X", "trn_y", "val_X", "val_y"), xy):
            f.put(f.h5, "data/%s/%s" % (step, name), tensor)
    x, y = batches["step1"][:2]
    f.record(f.h5, golden.record_supernet(net, x, y),
             golden.record_supernet(golden.to_double(net), x.double(), y),
             ("buffer_after", "grad_param", "logits", "loss"), ("grad_param", "logits", "loss"),
             False)
    f.close()
    searches = [twin.Search(n, 2, clip=CLIP) for n in (net, golden.to_double(net))]
    for step, xy in batches.items():
        f = File(folder, "search_%s_correct.h5" % step,
                 dict(STEP_ATTRS, seed=seed, step=step, variant="correct"))
        single = golden.record_step(searches[0], "correct", *xy)
        wide = golden.record_step(searches[1], "correct",
                                  *[t if t.dtype == torch.int64 else t.double() for t in xy])
        f.record(f.h5, single, wide, ALL, STEP_KEPT, True)
        f.close()


def draw_images(g, batch, size):
    """Random ones; large ones of blocks, and of few values, so that the file stays small."""
    if size <= 32:
        return draw(g, batch, 3, size, size)
    blocks = (4.0 * draw(g, batch, 3, size // 8, size // 8)).round() / 4.0
    return blocks.repeat_interleave(8, 2).repeat_interleave(8, 3)


def make_final(folder, name, seed, channels, layers, reduce_at, size, batch, drop_path,
               genotype=twin.PUBLISHED_TEXT):
    classes, aux_weight = 5, 0.4
    attrs = {"aux_pos": 4 * layers // 6, "aux_weight": aux_weight, "batch": batch, "config": "tiny",
             "dataset": "random", "genotype": genotype, "init_channels": channels,
             "layers": layers, "n_classes": classes, "reduce_loc": str(list(reduce_at)),
             "seed": seed, "size": size}
    g = seeded(seed)
    model = shaken(twin.FinalCNN(size, 3, channels, classes, layers, reduce_at,
                                 twin.parse_genotype(genotype)), g)
    with torch.no_grad():
        large = [p for p in model.parameters() if p.numel() > golden.LARGE]
        for p in large:  # two values only, so that the file stays small when compressed
            p.copy_(torch.sign(p) * p.abs().mean())
    x, y = draw_images(g, batch, size), torch.randint(classes, (batch,), generator=g)
    double, xd = golden.to_double(model), x.double()

    f = File(folder, name + ".h5", attrs)
    f.put(f.h5, "input", x)
    f.put(f.h5, "labels", y)
    f.record(f.h5, golden.record_final_eval(model, x), golden.record_final_eval(double, xd),
             ("logits",), ("logits",), True)
    f.close()

    def slim(record):
        """Large gradients are represented by their norms."""
        left_out = {k for k, t in record.items() if t.numel() > golden.LARGE}
        norms = {"grad_norm_param" + k[len("grad_param"):] for k in left_out}
        return {k: t for k, t in record.items() if k not in left_out
                and (k in norms or not k.startswith("grad_norm_param"))}

    f = File(folder, name + "_train.h5", attrs)
    f.record(f.h5, slim(golden.record_final_train(model, x, y, aux_weight)),
             slim(golden.record_final_train(double, xd, y, aux_weight)),
             ALL, ("logits", "aux_logits", "loss", "grad_norm"), True)
    f.close()
    if drop_path == 0.0:
        return

    masks = {name: (torch.rand(batch, generator=g) < 1.0 - drop_path).float()
             for name in golden.drop_paths(model)}
    f = File(folder, name + "_droppath.h5", dict(attrs, drop_path_prob=drop_path))
    for name, mask in masks.items():
        f.put(f.h5, "mask/" + name, mask)
    record = golden.record_final_droppath(model, x, y, aux_weight, drop_path, masks)
    record = {k: t for k, t in record.items() if t.numel() <= SMALL}
    f.record(f.h5, record, {}, (), (), False)
    f.close()


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else HERE
    torch.set_num_threads(1)
    make_ops(folder)
    make_cell(folder, "search_cell_reduce.h5", 228, 3, 4, 0, 1)
    make_cell(folder, "search_cell_normal_after_reduce.h5", 208, 2, 3, 1, 0)
    make_cell(folder, "search_cell_relu_ops.h5", 625, 3, 4, 0, 1, "relu-ops")
    make_supernet(folder)
    make_final(folder, "aug_tiny", 401, 1, 3, (0, 2), 32, 6, 0.2)
    make_final(folder, "aug_relu_ops", 501, 1, 3, (0, 2), 32, 4, 0.0, twin.RELU_OPS_TEXT)
    make_final(folder, "aug_imagenet", 439, 2, 3, (1, 2), 224, 8, 0.0)


if __name__ == "__main__":
    main()
