"""The cases of the CPU comparison: one table for both peers. Imports nothing heavy."""

PUBLISHED_51K = {"channels": 5, "layers": 10, "reduce_at": (0, 5), "input": (3, 32, 32),
                 "classes": 100}


def supernet(order, channels, layers, images, time, memory=None, steps=2):
    return {"verb": "supernet-step", "order": order, "channels": channels, "layers": layers,
            "input": images, "classes": 10, "batch": 64, "steps": steps,
            "target_time": time, "target_memory": memory}


# target_*: PyTorch's seconds (peak memory) divided by ours, at least.
# steps: timed in each round by each, after one that is not.
CASES = {
    "supernet_first_order_c16": supernet(1, 16, 8, (3, 32, 32), 1.8, 3.0),
    "supernet_second_order_c16": supernet(2, 16, 8, (3, 32, 32), 1.8, 3.0),
    "supernet_second_order_c4": supernet(2, 4, 5, (1, 32, 32), 3.0, steps=3),
    "train_step_51k": dict(PUBLISHED_51K, verb="train-step", batch=96, steps=8, target_time=1.4,
                           target_memory=None),
    "eval_51k": dict(PUBLISHED_51K, verb="eval", batch=256, steps=8, target_time=1.5,
                     target_memory=None),
}

WHAT = {
    "supernet_first_order_c16": "search step, first order, C=16, 8 layers, batch 64, 3x32x32",
    "supernet_second_order_c16": "search step, second order, C=16, 8 layers, batch 64, 3x32x32",
    "supernet_second_order_c4": "search step, second order, C=4, 5 layers, batch 64, 1x32x32",
    "train_step_51k": "training step of the 51.2K network, batch 96, auxiliary head, drop-path 0.2",
    "eval_51k": "evaluation of the 51.2K network, batch 256",
}


def sphynx_args(case, steps):
    """Arguments of `sphynx bench` for a case."""
    args = [case["verb"]]
    if case["verb"] == "supernet-step":
        args += ["--order", case["order"]]
    else:
        args += ["--genotype", "published", "--reduce-at", ",".join(map(str, case["reduce_at"]))]
    args += ["--init-channels", case["channels"], "--layers", case["layers"],
             "--batch", case["batch"], "--input", "x".join(map(str, case["input"])),
             "--classes", case["classes"], "--warmup", 1, "--steps", steps, "--json"]
    return [str(a) for a in args]
