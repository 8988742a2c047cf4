#!/usr/bin/env python3
"""Makes references.json: what PyTorch computes for the networks of search/space/reference.h.

    tests/golden/make_references.py    # needs python3-torch and torchvision

Weights, statistics and images are drawn from their names by a formula that the test has, too, so
only results are stored: logits in evaluation, the loss of a training pass, and of each
parameter's gradient its norm and its product with drawn numbers. Computed in float64 by
torchvision's networks where there are such, else by the few lines below, written after the papers.

Where a ReLU's input is within rounding of zero, a gradient in float32 jumps; deep networks have
many. So a case says how far gradients may be off, median and most: ten times what PyTorch's own are
in float32, and no less than README.md's 1e-4 and 1e-2. Gradients are measured by their norms, or by
a thousandth of the largest one's, which a true zero needs.
"""
import json
import math
import os

import numpy
import torch
import torchvision
from torch import nn
from torch.nn import functional as F


def drawn(name, n):
    """n numbers in [-1, 1), exact in float32."""
    x = numpy.arange(n, dtype=numpy.uint32) * numpy.uint32(2654435761)
    key = 2166136261
    for byte in name.encode():  # FNV-1a
        key = (key ^ byte) * 16777619 % 2**32
    x += numpy.uint32(key)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> numpy.uint32(shift)
        x *= numpy.uint32(factor)
    x ^= x >> numpy.uint32(16)
    return (x >> numpy.uint32(8)).astype(numpy.float64) / 2.0**23 - 1


def fill(net):
    for name, p in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        u = drawn(name, p.numel())
        if p.dim() > 1:
            value = u * math.sqrt(6.0 / (p.numel() // p.shape[0]))
        elif name.endswith("running_mean") or name.endswith("bias"):
            value = 0.1 * u
        else:
            value = 1 + 0.25 * u
        value = torch.from_numpy(value.astype(numpy.float32).astype(numpy.float64))
        p.copy_(value.reshape(p.shape))


def conv(a, b, size, stride=1, bias=False):
    return nn.Conv2d(a, b, size, stride, size // 2, bias=bias)


class Block(nn.Module):
    def __init__(self, a, b, stride, inner, outer):
        super().__init__()
        self.conv1, self.bn1 = conv(a, b, 3, stride), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = conv(b, b, 3), nn.BatchNorm2d(b)
        self.inner, self.outer = inner, outer
        if stride != 1 or a != b:
            self.downsample = nn.Sequential(conv(a, b, 1, stride), nn.BatchNorm2d(b))

    def forward(self, x):
        y = self.bn1(self.conv1(x))
        y = self.bn2(self.conv2(F.relu(y) if self.inner else y))
        y = y + (self.downsample(x) if hasattr(self, "downsample") else x)
        return F.relu(y) if self.outer else y


class Residual(nn.Module):
    """ResNets of basic blocks for small images."""

    def __init__(self, classes, stem, widths, blocks, stem_relu=True, stride=1, cull=(),
                 thin=False):
        super().__init__()
        self.conv1, self.bn1 = conv(3, stem, 3, stride), nn.BatchNorm2d(stem)
        self.stem_relu = stem_relu
        self.stages = len(widths)
        for s, (w, n) in enumerate(zip(widths, blocks)):
            on = s + 1 not in cull
            layer = []
            for b in range(n):
                layer.append(Block(stem, w, 2 if b == 0 and s > 0 else 1, on, on and not thin))
                stem = w
            setattr(self, f"layer{s + 1}", nn.Sequential(*layer))
        self.fc = nn.Linear(stem, classes)

    def forward(self, x):
        x = self.bn1(self.conv1(x))
        x = F.relu(x) if self.stem_relu else x
        for s in range(self.stages):
            x = getattr(self, f"layer{s + 1}")(x)
        return self.fc(x.mean((2, 3)))


class WideBlock(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(a), conv(a, b, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(b), conv(b, b, 3)
        self.convShortcut = conv(a, b, 1, stride) if a != b else None

    def forward(self, x):
        y = F.relu(self.bn1(x))
        x = self.convShortcut(y) if self.convShortcut else x
        return x + self.conv2(F.relu(self.bn2(self.conv1(y))))


class WideStage(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.layer = nn.Sequential(
            *(WideBlock(b if i else a, b, 1 if i else stride) for i in range(3)))

    def forward(self, x):
        return self.layer(x)


class Wide(nn.Module):
    def __init__(self, classes, width, last_relu):
        super().__init__()
        self.conv1, self.last_relu = conv(3, width, 3), last_relu
        self.block1 = WideStage(width, 8 * width, 1)
        self.block2 = WideStage(8 * width, 16 * width, 2)
        self.block3 = WideStage(16 * width, 32 * width, 2)
        self.bn1, self.fc = nn.BatchNorm2d(32 * width), nn.Linear(32 * width, classes)

    def forward(self, x):
        x = self.bn1(self.block3(self.block2(self.block1(self.conv1(x)))))
        return self.fc((F.relu(x) if self.last_relu else x).mean((2, 3)))


class Vgg(nn.Module):
    def __init__(self, classes, width):
        super().__init__()
        rows = [w if w == "M" else w * width // 64 for w in torchvision.models.vgg.cfgs["D"]]
        self.features = torchvision.models.vgg.make_layers(rows, batch_norm=True)
        self.classifier = nn.Linear(8 * width, classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class Unit(nn.Module):
    def __init__(self, a, b, size):
        super().__init__()
        self.conv, self.bn = conv(a, b, size), nn.BatchNorm2d(b)

    def forward(self, x):
        return self.bn(self.conv(x))


class Reduce(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.conv1, self.conv2 = conv(a, b // 2, 1, 2), conv(a, b // 2, 1, 2)
        self.bn = nn.BatchNorm2d(b)

    def forward(self, x):
        return self.bn(torch.cat([self.conv1(x), self.conv2(x[:, :, 1:, 1:])], 1))


class CLayer(nn.Module):
    def __init__(self, c, size, joined, first):
        super().__init__()
        self.conv, self.bn, self.joined = conv(c, c, size), nn.BatchNorm2d(c), joined
        self.skip = None if first else Unit(c * (1 + len(joined)), c, 1)

    def forward(self, state):
        x = self.bn(self.conv(F.relu(state[-1])))
        return self.skip(torch.cat([state[j] for j in self.joined] + [x], 1)) if self.skip else x


class Crypto(nn.Module):
    """CryptoNAS' chain; skips[i]: the states that layer i joins."""

    def __init__(self, classes, c, kernels, skips):
        super().__init__()
        n = len(kernels)
        self.stem, layers, self.reduce = Unit(3, c, 3), [], nn.ModuleList()
        self.at = (n // 3 - 1, 2 * n // 3 - 1)
        for i in range(n):
            layers.append(CLayer(c, 5 if kernels[i] in "23" else 3, skips[i], i == 0))
            if i in self.at:
                self.reduce.append(nn.ModuleList(Reduce(c, 4 * c) for _ in range(i + 2)))
                c *= 4
        self.layers, self.fc = nn.ModuleList(layers), nn.Linear(c, classes)

    def forward(self, x):
        state = [self.stem(x)]
        for i, layer in enumerate(self.layers):
            state.append(layer(state))
            if i in self.at:
                state = [r(s) for r, s in zip(self.reduce[self.at.index(i)], state)]
        return self.fc(state[-1].mean((2, 3)))


def published(name, **options):
    return lambda k: getattr(torchvision.models, name)(weights=None, num_classes=k, **options)


SKIPS = [[], [], [0, 1], [], [], [3, 4]]  # CNet1
CASES = [  # network, side, batch, PyTorch's
    ("resnet18,form=224", 64, 4, published("resnet18")),
    ("resnet50,form=224", 64, 4, published("resnet50")),
    ("densenet121", 64, 4, published("densenet121")),
    ("squeezenet1_1", 64, 4, published("squeezenet1_1", dropout=0.0)),
    ("mobilenet_v2", 64, 4, published("mobilenet_v2", dropout=0.0)),
    ("resnet18,width=4", 32, 4, lambda k: Residual(k, 4, (4, 8, 16, 32), (2, 2, 2, 2))),
    ("resnet32,width=4,stem_relu=0", 32, 4,
     lambda k: Residual(k, 4, (4, 8, 16), (5, 5, 5), stem_relu=False)),
    ("deepreduce,cull=1+4,thin=1,alpha=0.0625,rho=0.5,blocks=2+1+1+1", 32, 4,
     lambda k: Residual(k, 4, (4, 8, 16, 32), (2, 1, 1, 1), False, 2, (1, 4), True)),
    ("hybrenet,m=2,alpha=3,beta=2,gamma=2", 32, 4,
     lambda k: Residual(k, 2, (2, 6, 12, 24), (2, 2, 2, 2))),
    ("wrn-22-8,width=1", 32, 4, lambda k: Wide(k, 1, False)),
    ("wrn-22-8,width=1,last_relu=1", 32, 4, lambda k: Wide(k, 1, True)),
    ("vgg16,width=4", 32, 8, lambda k: Vgg(k, 4)),
    ("cnet1,width=2", 32, 4, lambda k: Crypto(k, 2, "300011", SKIPS)),
    ("cnet,layers=5,width=1,skips=all", 32, 4,
     lambda k: Crypto(k, 1, "00000", [list(range(i)) for i in range(5)])),
]
CLASSES = 7


def number(x):
    return float(f"{x:.9g}")


def compute(net, side, batch, dtype):
    net = net.to(dtype)
    x = drawn("image", batch * 3 * side * side).reshape(batch, 3, side, side)
    x = torch.from_numpy(x).to(dtype)
    with torch.no_grad():
        logits = net.eval()(x)
    loss = F.cross_entropy(net.train()(x), torch.arange(batch) % CLASSES)
    loss.backward()
    return logits, loss, {n: p.grad if p.grad is not None else torch.zeros_like(p)
                          for n, p in net.named_parameters()}


def make(name, side, batch, build):
    results = []
    for dtype in (torch.float64, torch.float32):
        net = build(CLASSES).to(torch.float64)
        with torch.no_grad():
            fill(net)
        results.append(compute(net, side, batch, dtype))
    (logits, loss, grads), (logits32, _, grads32) = results
    floor = 1e-3 * max(float(g.norm()) for g in grads.values())
    off = sorted(float((grads32[n].double() - g).norm()) / max(floor, float(g.norm()))
                 for n, g in grads.items())
    off_logits = float((logits32.double() - logits).norm() / logits.norm())
    median, most = off[len(off) // 2], off[-1]
    print(f"{name}: logits {off_logits:.1e}, gradients' median {median:.1e}, most {most:.1e}")
    rows = [[n, number(g.norm()), number((g.flatten().numpy() * drawn(n + "#", g.numel())).sum())]
            for n, g in grads.items()]
    return {"network": name, "side": side, "batch": batch, "classes": CLASSES,
            "logits": [number(v) for v in logits.flatten()], "loss": number(loss),
            "floor": number(floor), "median": number(max(1e-4, 10 * median)),
            "most": number(max(1e-2, 10 * most)), "gradients": rows}


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    torch.set_num_threads(1)
    cases = [make(*c) for c in CASES]
    with open(os.path.join(folder, "references.json"), "w", encoding="ascii") as f:
        f.write("[" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "]\n")


if __name__ == "__main__":
    main()
