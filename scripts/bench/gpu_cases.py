"""The GPU comparison: its cases, and how a PyTorch user may run them. Imports nothing heavy."""

BLOCK = 5  # steps between looks at the clock: who queues may run ahead of the GPU

# target_*: PyTorch's seconds divided by ours at the same precision, at least; memory: our bytes
# divided by eager's, at most.
CASES = {
    "supernet_second_order_c16": {
        "verb": "supernet-step", "order": 2, "channels": 16, "layers": 8, "input": (3, 32, 32),
        "classes": 10, "batch": 64, "target_eager": 4.0, "target_best": 1.5},
    "train_step_51k": {
        "verb": "train-step", "channels": 5, "layers": 10, "reduce_at": (0, 5),
        "input": (3, 32, 32), "classes": 100, "batch": 96, "drop_path": 0.2, "target_eager": 4.0,
        "target_best": 1.3},
    "imagenet_345k": {
        "verb": "train-step", "channels": 20, "layers": 10, "reduce_at": (1, 5),
        "input": (3, 224, 224), "classes": 1000, "batch": 256, "drop_path": 0.0,
        "target_eager": 1.5, "target_best": 1.1},
}
TARGET_MEMORY = 0.6

WHAT = {
    "supernet_second_order_c16": "search step, second order, C=16, 8 layers, batch 64, 3x32x32",
    "train_step_51k": "training step of the 51.2K network, batch 96, auxiliary head, drop-path 0.2",
    "imagenet_345k": "training step of the 345.0K ImageNet network, batch 256, auxiliary head",
}


def variant(precision, channels_last=False, compiled=False, graph=False):
    return {"precision": precision, "channels_last": channels_last, "compiled": compiled,
            "graph": graph}


# `eager` is the published code with TF32 and cudnn.benchmark. The others are what its users could
# do about it; the fastest of a precision is the peer called best.
VARIANTS = {"eager": variant("tf32")}
for _precision in ("tf32", "bf16"):
    VARIANTS[_precision + "_channels_last"] = variant(_precision, True)
    VARIANTS[_precision + "_graph"] = variant(_precision, True, graph=True)
    VARIANTS[_precision + "_compile"] = variant(_precision, True, True)
    VARIANTS[_precision + "_compile_graph"] = variant(_precision, True, True, True)


def sphynx_args(case, precision, steps):
    """Arguments of `sphynx bench` for a case."""
    args = [case["verb"]]
    if case["verb"] == "supernet-step":
        args += ["--order", case["order"]]
    else:
        args += ["--genotype", "published", "--reduce-at", ",".join(map(str, case["reduce_at"])),
                 "--drop-path", case["drop_path"]]
    args += ["--init-channels", case["channels"], "--layers", case["layers"],
             "--batch", case["batch"], "--input", "x".join(map(str, case["input"])),
             "--classes", case["classes"], "--warmup", 5, "--steps", steps,
             "--block", BLOCK, "--device", "cuda", "--precision", precision, "--json"]
    return [str(a) for a in args]
