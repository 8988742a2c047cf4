"""PyTorch's side of scripts/bench/photo_patch.py: the weights to begin with, and the training.

The batches are those that `sphynx data batches` writes, one epoch at a time.
"""
import math
import os

import h5py
import torch
import torch.nn as nn

import page
import twin


class Trainer:
    """One training of `network` (size, channels, layers, reduce_at, classes) by `recipe`."""

    def __init__(self, network, recipe, steps_an_epoch, batches):
        self.network, self.recipe = network, recipe
        self.steps_an_epoch, self.batches = steps_an_epoch, batches

    def draw(self, seed):
        """A new network; the same for the same seed."""
        n = self.network
        torch.manual_seed(seed)
        return twin.FinalCNN(n["size"], 3, n["channels"], n["classes"], n["layers"],
                             n["reduce_at"], twin.parse_genotype(twin.PUBLISHED_TEXT))

    def save_weights(self, seed, path):
        with h5py.File(path, "w") as f:
            for name, tensor in self.draw(seed).state_dict().items():
                if not name.endswith("num_batches_tracked"):
                    f[name] = tensor.numpy()

    def read(self, *options):
        """(images, labels, numbers of the images or -1) of each batch."""
        path = self.batches(*options)
        with h5py.File(path, "r") as f:
            for i in range(f["images"].shape[0]):
                images, labels, numbers = (torch.from_numpy(f[n][i])
                                           for n in ("images", "labels", "indices"))
                yield images, labels.long(), numbers
        os.remove(path)

    def evaluate(self, model):
        hits = seen = 0
        model.eval()
        with torch.no_grad():
            for x, y, numbers in self.read("--test"):
                hits += ((model(x)[0].argmax(1) == y) & (numbers >= 0)).sum().item()
                seen += (numbers >= 0).sum().item()
        return hits / seen

    def step(self, model, optim, number, x, y):
        """One step; the loss of the classifier alone, which is what sphynx logs."""
        progress = number / (self.recipe["epochs"] * self.steps_an_epoch)
        optim.param_groups[0]["lr"] = (
            0.5 * self.recipe["lr"] * (1.0 + math.cos(math.pi * progress)))
        model.train()
        optim.zero_grad()
        total, main = twin.final_loss(model, x, y, self.recipe["aux_weight"])[:2]
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optim.step()
        return main.item()

    def train(self, seed, kept, most=None, wide=False):
        """{"losses": [every step's], "top1": [every epoch's]}; goes on after the last whole epoch
        in the file `kept`; ends after `most` steps, where given. `wide`: in float64, and the
        losses alone."""
        model = self.draw(seed).double() if wide else self.draw(seed)
        optim = twin.Training(model, drop_path=0.0).optim
        told = {"losses": [], "top1": []}
        if os.path.exists(kept):
            saved = torch.load(kept, weights_only=False)
            model.load_state_dict(saved["model"])
            optim.load_state_dict(saved["optim"])
            told = saved["told"]
        for epoch in range(len(told["top1"]), self.recipe["epochs"]):
            left = most - len(told["losses"]) if most else self.steps_an_epoch
            if left <= 0:
                break
            for x, y, _ in self.read("--epoch", epoch, "--seed", seed, "--steps",
                                     min(left, self.steps_an_epoch)):
                told["losses"].append(self.step(
                    model, optim, len(told["losses"]), x.double() if wide else x, y))
            told["top1"].append(0.0 if wide else self.evaluate(model))
            torch.save({"model": model.state_dict(), "optim": optim.state_dict(), "told": told},
                       kept + ".tmp")
            os.replace(kept + ".tmp", kept)
            page.say("PyTorch: seed %d, epoch %d: %.2f %%" % (seed, epoch, 100 * told["top1"][-1]))
        return told


def version(threads):
    """PyTorch's, after telling it how many threads to use."""
    torch.set_num_threads(threads)
    return torch.__version__
