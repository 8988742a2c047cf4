#!/usr/bin/env python3
"""Writes tests/search/location_golden.h: one step of the location search, computed by PyTorch.

make_location.py [FILE]. Every number that goes in comes from `drawn`, which tests/search/
test_location.c has, too; so only what comes out is written down. The networks are the twin's
(scripts/bench/twin.py), the mixture is autograd's: hard one-hot forward, softmax backward.
"""
import math
import os
import sys

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "scripts", "bench"))
import twin  # noqa: E402

LAYERS, CHANNELS, CLASSES, BATCH, SIDE = 3, 1, 5, 4, 16
PAIRS = [(0, 1), (0, 2), (1, 2)]
TAU, LR, CLIP = 2.5, 0.025, 0.5  # the clip is below the gradient's norm
NOISE = [0.3, -0.4, 0.9]
RUN = [2, 0, 1]  # the pair drawn, and those at offsets 1 and 2 from it
MASK = (1 << 64) - 1


def drawn(name, count):
    """count numbers in [0, 1), of 24 bits each, for a name."""
    h = 0xcbf29ce484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001b3) & MASK
    out = []
    for i in range(count):
        z = (h + (i + 1) * 0x9E3779B97F4A7C15) & MASK  # splitmix64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        out.append(((z ^ (z >> 31)) >> 40) / 16777216.0)
    return torch.tensor(out, dtype=torch.float64)


def value_of(name, tensor):
    """A weight, a running statistic: by its name and shape."""
    u = drawn(name, tensor.numel()).reshape(tensor.shape)
    if name.endswith("running_var"):
        x = 0.6 + 0.9 * u
    elif name.endswith("running_mean"):
        x = u - 0.5
    elif tensor.dim() > 1:
        x = (2 * u - 1) / math.sqrt(tensor[0].numel())
    elif name.endswith("weight"):
        x = 0.6 + 0.9 * u
    else:
        x = 0.6 * u - 0.3
    return x.float().double()


def networks():
    genotype = twin.parse_genotype(twin.PUBLISHED_TEXT)
    nets = []
    for i, j in PAIRS:
        net = twin.FinalCNN(SIDE, 3, CHANNELS, CLASSES, LAYERS, (i, j), genotype,
                            auxiliary=False).double()
        if nets:
            net.stem = nets[0].stem
        state = list(net.named_parameters()) + [
            (n, b) for n, b in net.named_buffers() if not n.endswith("num_batches_tracked")]
        with torch.no_grad():
            for name, t in state:
                own = name if name.startswith("stem") else "%d-%d.%s" % (i, j, name)
                t.copy_(value_of(own, t))
        nets.append(net.train())
    return nets


def batch_of(which):
    x = (3.4 * drawn(which + ".images", BATCH * 3 * SIDE * SIDE) - 1.7).float().double()
    y = torch.tensor([(7 * i + len(which)) % CLASSES for i in range(BATCH)])
    return x.reshape(BATCH, 3, SIDE, SIDE), y


def mixture(nets, beta, x, run):
    """Logits of the hard one-hot of softmax((beta + noise)/tau), over the networks that run."""
    soft = F.softmax((beta + torch.tensor(NOISE, dtype=torch.float64)) / TAU, dim=0)
    hard = F.one_hot(soft.argmax(), len(PAIRS)).double()
    y = hard - soft.detach() + soft
    return sum(y[k] * nets[k](x)[0] for k in run)


def beta_step(nets, beta):
    x, labels = batch_of("val")
    state = [{n: b.clone() for n, b in net.named_buffers()} for net in nets]
    grads = []
    for count in (1, 2, 3):
        loss = F.cross_entropy(mixture(nets, beta, x, RUN[:count]), labels)
        grads += torch.autograd.grad(loss, beta)
    beta.grad = grads[-1]
    for net, before in zip(nets, state):  # the validation half leaves running statistics alone
        for n, b in net.named_buffers():
            b.copy_(before[n])
    optim = torch.optim.Adam([beta], 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    optim.step()
    return loss, torch.stack(grads)


def weight_step(net):
    x, labels = batch_of("train")
    optim = torch.optim.SGD(net.parameters(), LR, momentum=0.9, weight_decay=3e-4)
    loss = F.cross_entropy(net(x)[0], labels)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
    optim.step()
    return loss, norm, optim


def array(out, name, t):
    values = ["%.8ef" % v for v in t.detach().reshape(-1).tolist()]
    out.append("static const float %s[%d] = {" % (name, len(values)))
    for k in range(0, len(values), 5):
        out.append("    %s," % ", ".join(values[k:k + 5]))
    out.append("};")


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "search",
                                                              "location_golden.h")
    torch.set_num_threads(1)
    nets = networks()
    beta = (drawn("beta", 3) - 0.5).float().double().requires_grad_()
    val_loss, beta_grads = beta_step(nets, beta)
    net = nets[RUN[0]]
    train_loss, norm, optim = weight_step(net)
    params, buffers = dict(net.named_parameters()), dict(net.named_buffers())
    out = ["#ifndef SPX_LOCATION_GOLDEN_H", "#define SPX_LOCATION_GOLDEN_H",
           "/* Written by tests/golden/make_location.py with PyTorch, in float64. */",
           "/* clang-format off */"]
    array(out, "golden_losses", torch.stack([val_loss, train_loss]))
    array(out, "golden_norm", norm)
    out.append("/* Beta's gradient where one, two and three networks are run. */")
    array(out, "golden_beta_grads", beta_grads)
    array(out, "golden_beta", beta)
    for name in ("stem.0.weight", "stem.1.weight", "stem.1.bias", "linear.bias",
                 "cells.2.preproc1.net.0.weight"):
        c = name.replace(".", "_")
        array(out, "golden_" + c, params[name])
        array(out, "golden_momentum_" + c, optim.state[params[name]]["momentum_buffer"])
    for name in ("stem.1.running_mean", "stem.1.running_var"):
        array(out, "golden_" + name.replace(".", "_"), buffers[name])
    norms = ["    {\"%s\", %.9g, %.9g}," % (
        n, p.norm().item(), optim.state[p]["momentum_buffer"].norm().item())
             for n, p in params.items()]
    out += ["/* Arrays of the network drawn: 2-norms of each and of its momentum, afterwards. */",
            "static const struct {", "    const char *name;", "    double weight, momentum;",
            "} golden_norms[] = {"] + norms + ["};", "/* clang-format on */", "", "#endif"]
    with open(path, "w") as f:
        f.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
