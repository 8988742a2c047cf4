#!/usr/bin/env python3
"""Times one case in PyTorch, in this process only: pytorch_case.py CASE THREADS [STEPS].

Prints {"seconds": [...], "seconds_median", "peak_rss_bytes", "torch"} as JSON. Runs what a user of
the published code runs: plain eager mode, zero_grad, clipping; one batch of random data.
"""
import json
import statistics
import sys
import time

import torch

import twin
from cases import CASES


def random_batch(case, n_classes):
    x = torch.randn(case["batch"], *case["input"])
    return x, torch.randint(n_classes, (case["batch"],))


def make_step(case):
    """A function that does one step of the case."""
    torch.manual_seed(1)
    classes = case["classes"]
    batch = random_batch(case, classes)
    if case["verb"] == "supernet-step":
        net = twin.Supernet(case["input"][0], case["channels"], classes, case["layers"])
        search = twin.Search(net, case["order"])
        both = batch + random_batch(case, classes)
        return lambda: search.step(*both)
    training = case["verb"] == "train-step"
    genotype = twin.parse_genotype(twin.PUBLISHED_TEXT)
    model = twin.FinalCNN(case["input"][1], case["input"][0], case["channels"], classes,
                          case["layers"], case["reduce_at"], genotype, auxiliary=training)
    if training:
        trainer = twin.Training(model, aux_weight=0.4, drop_path=0.2)
        return lambda: trainer.step(*batch)
    return lambda: twin.evaluate(model, *batch)


def peak_rss_bytes():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in CASES:
        sys.exit("usage: pytorch_case.py %s THREADS [STEPS]" % "|".join(CASES))
    case = CASES[sys.argv[1]]
    torch.set_num_threads(int(sys.argv[2]))
    step = make_step(case)
    step()  # allocations, oneDNN's primitives, the first momentum buffers
    seconds = []
    for _ in range(int(sys.argv[3]) if len(sys.argv) == 4 else case["steps"]):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "seconds_median": statistics.median(seconds),
                      "peak_rss_bytes": peak_rss_bytes(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
