#!/usr/bin/env python3
"""Writes tests/nn/relu_golden.h: masked ReLUs forward and backward, computed by PyTorch's autograd.

make_masks.py [FILE]. y = m relu(x) + (1-m) x as its formula says; masks of ones, zeros and of
fractions in one tensor. x and dy are multiples of 1/8, which bf16 holds exactly.
"""
import os
import sys

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
N, C, H, W = 3, 5, 4, 3
FRACTIONS = [1.0, 0.0, 0.25, 1.0, 0.0, 0.9, 1.5, -0.5]


def array(name, values):
    text = ["%.8ef" % v for v in values.detach().flatten().tolist()]
    rows = ["    " + ", ".join(text[i:i + 5]) + "," for i in range(0, len(text), 5)]
    return ["static const float golden_%s[%d] = {" % (name, len(text)), *rows, "};"]


def main():
    to = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "nn", "relu_golden.h")
    draw = torch.Generator().manual_seed(5)
    x = torch.randint(-24, 25, (N, C, H, W), generator=draw).double() / 8
    dy = torch.randint(-24, 25, (N, C, H, W), generator=draw).double() / 8
    pick = torch.randint(0, len(FRACTIONS), (C, H, W), generator=draw)
    mask = torch.tensor(FRACTIONS).float().double()[pick]  # as f32 has them
    x.requires_grad_()
    mask.requires_grad_()
    y = mask * torch.relu(x) + (1 - mask) * x
    y.backward(dy)
    lines = ["#ifndef SPX_RELU_GOLDEN_H", "#define SPX_RELU_GOLDEN_H",
             "/* Written by tests/golden/make_masks.py with PyTorch, in float64. */",
             "/* clang-format off */",
             "enum { GOLDEN_N = %d, GOLDEN_C = %d, GOLDEN_HW = %d };" % (N, C, H * W)]
    for name, values in (("x", x), ("dy", dy), ("mask", mask), ("y", y), ("dx", x.grad),
                         ("dmask", mask.grad)):
        lines += array(name, values)
    lines += ["/* clang-format on */", "", "#endif"]
    with open(to, "w") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
