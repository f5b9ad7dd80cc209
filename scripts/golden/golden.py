"""What every golden file here is: one safetensors file, whose metadata entry "cases" lists what is in it.

A case is {"name", "op", "attributes", "inputs": [...], "gradients": [...], "outputs": [...]}. Its tensors are
  <case>/in/<input>          what goes in; float32, int64 or uint8
  <case>/out/<output>        what comes out
  <case>/dout/<output>       the gradient of an imagined loss with respect to that output (random), where there is one
  <case>/grad/<input>        the gradient of sum(out * dout) over all such outputs with respect to that input
Floating-point numbers are drawn in float32, computed in float64 and stored in float32, so the stored values are right
to half a unit in the last place and a reader's error is its own.
"""
import json
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests" / "testing" / "golden"


def stored(tensor):
    tensor = tensor.detach()
    if tensor.is_floating_point():
        tensor = tensor.to(torch.float32)
    return np.array(tensor.contiguous().numpy())  # a copy: in-place updates later must not reach it


class GoldenFile:
    """Collects cases; every draw comes from one generator, so a file is a function of its seed."""

    def __init__(self, name, seed):
        self.name, self.tensors, self.cases = name, {}, []
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape, scale=1.0, offset=0.0):
        x = torch.randn(shape, generator=self.generator, dtype=torch.float32) * scale + offset
        return x.to(torch.float64)

    def uniform(self, *shape):
        return torch.rand(shape, generator=self.generator, dtype=torch.float32).to(torch.float64)

    def integers(self, high, *shape):
        return torch.randint(0, high, shape, generator=self.generator)

    def add(self, name, op, function, inputs, gradients=(), attributes=None):
        """Runs function(**inputs) -> {output: tensor}. `gradients` names the inputs that get one."""
        leaves = {k: v.clone().requires_grad_(k in gradients) for k, v in inputs.items()}
        outputs = function(**leaves)
        targets, seeds = [], []
        for output, value in outputs.items():
            self.tensors[f"{name}/out/{output}"] = stored(value)
            if gradients and value.requires_grad:
                seed = self.normal(*value.shape)
                self.tensors[f"{name}/dout/{output}"] = stored(seed)
                targets.append(value)
                seeds.append(seed)
        for key, value in inputs.items():
            self.tensors[f"{name}/in/{key}"] = stored(value)
        if gradients:
            wanted = [leaves[k] for k in gradients]
            for key, value in zip(gradients, torch.autograd.grad(targets, wanted, seeds)):
                self.tensors[f"{name}/grad/{key}"] = stored(value)
        self.describe(name, op, attributes, inputs, gradients, outputs)

    def describe(self, name, op, attributes, inputs, gradients, outputs):
        self.cases.append({"name": name, "op": op, "attributes": attributes or {}, "inputs": list(inputs),
                           "gradients": list(gradients), "outputs": list(outputs)})

    def save(self):
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{self.name}.safetensors"
        tensors = dict(sorted(self.tensors.items()))
        save_file(tensors, path, metadata={"cases": json.dumps(self.cases)})
        print(f"{path.name}: {len(self.cases)} cases, {path.stat().st_size} bytes")


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)
