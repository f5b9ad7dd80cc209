"""Golden values of optimizers, clipping, schedules and moving averages. Writes tests/testing/golden/optim.safetensors.

A case of op "sgd" or "adamw": the parameter `p` starts at in/p and sees the gradients in/gradients[step]; out/p[step]
is its value after each step. The learning rate of a step is lr * in/factors[step].
"""
import torch
from torch.optim import lr_scheduler
from torch.optim.swa_utils import get_ema_avg_fn

from golden import GoldenFile, stored

STEPS, SIZE = 6, 13


def float32(x):
    return torch.tensor(x, dtype=torch.float32).item()  # the configuration holds floats: compute with their values


def optimizer_cases(g):
    cases = [("sgd", dict()), ("sgd", dict(weight_decay=0.1)), ("sgd", dict(momentum=0.9)),
             ("sgd", dict(momentum=0.9, nesterov=True)), ("sgd", dict(momentum=0.8, nesterov=True, weight_decay=0.05)),
             ("sgd", dict(momentum=0.9, weight_decay=0.05)),
             ("adamw", dict(weight_decay=0.0)), ("adamw", dict(weight_decay=0.1)),
             ("adamw", dict(beta1=0.8, beta2=0.95, epsilon=1e-3, weight_decay=0.01))]
    for number, (op, options) in enumerate(cases):
        options = {k: v if isinstance(v, bool) else float32(v) for k, v in options.items()}
        lr = float32(0.1 if op == "sgd" else 0.02)
        p, gradients, factors = g.normal(SIZE), g.normal(STEPS, SIZE), g.uniform(STEPS) + 0.25
        gradients[2] = 0  # momentum alone
        factors[0] = 1
        leaf = p.clone().requires_grad_()
        if op == "sgd":
            optimizer = torch.optim.SGD([leaf], lr=lr, **options)
        else:
            rest = dict(options)
            betas = (rest.pop("beta1", float32(0.9)), rest.pop("beta2", float32(0.999)))
            optimizer = torch.optim.AdamW([leaf], lr=lr, betas=betas, eps=rest.pop("epsilon", float32(1e-8)), **rest)
        after = []
        for step in range(STEPS):
            optimizer.param_groups[0]["lr"] = lr * factors[step].item()
            leaf.grad = gradients[step].clone()
            optimizer.step()
            after.append(leaf.detach().clone())
        name = f"{op}_{number}"
        for key, value in {"p": p, "gradients": gradients, "factors": factors}.items():
            g.tensors[f"{name}/in/{key}"] = stored(value)
        g.tensors[f"{name}/out/p"] = stored(torch.stack(after))
        g.describe(name, op, {"lr": lr} | options, ["p", "gradients", "factors"], [], ["p"])


def clip_cases(g):
    for name, limit, scale in [("clip_cuts", 1.0, 3.0), ("clip_leaves", 100.0, 1.0)]:
        leaves = [torch.zeros(n, dtype=torch.float64, requires_grad=True) for n in (5, 37, 1)]
        inputs = {}
        for i, leaf in enumerate(leaves):
            leaf.grad = g.normal(*leaf.shape, scale=scale)
            inputs[f"g{i}"] = leaf.grad.clone()
        norm = torch.nn.utils.clip_grad_norm_(leaves, limit)
        for key, value in inputs.items():
            g.tensors[f"{name}/in/{key}"] = stored(value)
        for i, leaf in enumerate(leaves):
            g.tensors[f"{name}/out/g{i}"] = stored(leaf.grad)
        g.tensors[f"{name}/out/norm"] = stored(norm)
        g.describe(name, "clip_grad_norm", {"max_norm": limit}, list(inputs), [], [*inputs, "norm"])


def schedule_cases(g):
    horizon = 20

    def after_warmup(optimizer, kind, warmup):
        rest = horizon - warmup
        return {"constant": lambda: lr_scheduler.LambdaLR(optimizer, lambda t: 1.0),
                "linear": lambda: lr_scheduler.LinearLR(optimizer, 1.0, 0.25, rest),
                "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, rest, 0.125),
                "step": lambda: lr_scheduler.MultiStepLR(optimizer, [7 - warmup, 12 - warmup], 0.5)}[kind]()

    for kind, attributes in [("constant", {}), ("linear", {"final": 0.25}), ("cosine", {"final": 0.125}),
                             ("step", {"milestones": [7, 12], "gamma": 0.5})]:
        for warmup in [0, 4]:
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
            if warmup:
                first = lr_scheduler.LinearLR(optimizer, 1 / warmup, 1.0, warmup - 1)
                schedule = lr_scheduler.SequentialLR(optimizer, [first, after_warmup(optimizer, kind, warmup)], [warmup])
            else:
                schedule = after_warmup(optimizer, kind, 0)
            factors = []
            for _ in range(horizon):
                factors.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                schedule.step()
            name = f"schedule_{kind}_{warmup}"
            g.tensors[f"{name}/out/factors"] = stored(torch.tensor(factors, dtype=torch.float64))
            g.describe(name, "schedule", {"kind": kind, "warmup_steps": warmup, "horizon": horizon} | attributes, [], [],
                       ["factors"])


def ema_case(g):
    decay = float32(0.9)
    average = get_ema_avg_fn(decay)
    ema, weights, after = g.normal(SIZE), g.normal(STEPS, SIZE), []
    g.tensors["ema/in/p"], g.tensors["ema/in/weights"] = stored(ema), stored(weights)
    for step in range(STEPS):
        ema = average(ema, weights[step], step + 1)
        after.append(ema)
    g.tensors["ema/out/p"] = stored(torch.stack(after))
    g.describe("ema", "ema", {"decay": decay}, ["p", "weights"], [], ["p"])


if __name__ == "__main__":
    file = GoldenFile("optim", 9)
    optimizer_cases(file)
    clip_cases(file)
    schedule_cases(file)
    ema_case(file)
    file.save()
