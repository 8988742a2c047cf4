#!/usr/bin/env python3
"""Times one case in PyTorch on the GPU, in this process only: gpu_case.py CASE VARIANT STEPS.

Prints {"seconds_median", "device_bytes_peak", "setup_s", "torch", "device"} as JSON.
"""
import contextlib
import json
import statistics
import sys
import time

import torch

import twin
from gpu_cases import BLOCK, CASES, VARIANTS

WARMUP = 5


def random_batch(case, how):
    x = torch.randn(case["batch"], *case["input"], device="cuda")
    if how["channels_last"]:
        x = x.to(memory_format=torch.channels_last)
    return x, torch.randint(case["classes"], (case["batch"],), device="cuda")


def place(model, how):
    model = model.cuda()
    return model.to(memory_format=torch.channels_last) if how["channels_last"] else model


def compile_cells(model):
    """Cell by cell: the whole supernet at once compiles for many minutes."""
    for cell in model.cells:
        cell.compile()


def supernet_step(case, how):
    net = place(twin.Supernet(case["input"][0], case["channels"], case["classes"],
                              case["layers"]), how)
    search = twin.Search(net, case["order"])
    # Adam reads its step count on the host unless told that the step will be captured.
    search.alpha_optim = torch.optim.Adam(net.alphas(), 3e-4, betas=(0.5, 0.999),
                                          weight_decay=1e-3, capturable=how["graph"])
    if how["compiled"]:
        compile_cells(net.net)
        compile_cells(search.architect.v_net.net)
    both = random_batch(case, how) + random_batch(case, how)
    return lambda: search.step(*both)


def train_step(case, how):
    genotype = twin.parse_genotype(twin.PUBLISHED_TEXT)
    model = place(twin.FinalCNN(case["input"][1], case["input"][0], case["channels"],
                                case["classes"], case["layers"], case["reduce_at"], genotype), how)
    trainer = twin.Training(model, aux_weight=0.4, drop_path=case["drop_path"])
    if how["compiled"]:
        compile_cells(model)
    batch = random_batch(case, how)
    return lambda: trainer.step(*batch)


def in_precision(step, how):
    if how["precision"] != "bf16":
        return step

    def cast():
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=not how["graph"]):
            step()
    return cast


def captured(step):
    """The step as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARMUP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def measure(step, steps):
    """Median seconds of a step over blocks of steps."""
    for _ in range(WARMUP):
        step()
    torch.cuda.synchronize()
    times = []
    for _ in range(max(1, steps // BLOCK)):
        start = time.perf_counter()
        for _ in range(BLOCK):
            step()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / BLOCK)
    return statistics.median(times)


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in CASES or sys.argv[2] not in VARIANTS:
        sys.exit("usage: gpu_case.py %s %s STEPS" % ("|".join(CASES), "|".join(VARIANTS)))
    case, how = CASES[sys.argv[1]], VARIANTS[sys.argv[2]]
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(1)
    begin = time.perf_counter()
    make = supernet_step if case["verb"] == "supernet-step" else train_step
    with contextlib.redirect_stdout(sys.stderr):
        step = in_precision(make(case, how), how)
        step()
        step = captured(step) if how["graph"] else step
        torch.cuda.synchronize()
        setup = time.perf_counter() - begin
        if not how["graph"]:  # a graph's memory was asked for while it was captured
            torch.cuda.reset_peak_memory_stats()  # what cuDNN's choosing took is no step's
        seconds = measure(step, int(sys.argv[3]))
    print(json.dumps({"seconds_median": seconds,
                      "device_bytes_peak": torch.cuda.max_memory_allocated(),
                      "setup_s": setup, "torch": torch.__version__,
                      "device": torch.cuda.get_device_name()}))


if __name__ == "__main__":
    main()
