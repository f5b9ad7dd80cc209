"""Golden values of whole models. Writes tests/testing/golden/models.safetensors.

A case of op "model": attributes hold the model as text of a RunConfig's `model { ... }` section, the input's shape and
dtype, the label's classes and the loss; its tensors are
  <case>/in/x, in/labels      one batch (labels are float for mean_squared_error)
  <case>/weight/<name>        initial weights under Lockstep's names and layouts; state/<name> for running statistics
  <case>/out/loss             the sum of the rows' losses, in training mode
  <case>/grad/<name>          its gradients
  <case>/state_after/<name>   running statistics after that forward pass
  <case>/out/losses_sgd, losses_adamw [STEPS + 1]   mean loss before each of STEPS updates on that same batch, and after
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from golden import GoldenFile, nchw, stored
from make_ops import ACTIVATIONS, attend, rotate

STEPS = 5
SGD = dict(lr=0.05, momentum=0.9, weight_decay=0.001)
ADAMW = dict(lr=0.002, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)


class Mlp(nn.Module):
    def __init__(self, inputs, hidden, outputs, activation):
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(i, o) for i, o in zip([inputs, *hidden], hidden))
        self.output, self.activation = nn.Linear(hidden[-1], outputs), ACTIVATIONS[activation]

    def forward(self, x):
        x = x.flatten(1)
        for layer in self.hidden:
            x = self.activation(layer(x))
        return self.output(x)


class BasicBlock(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.downsample = nn.Identity()
        if stride != 1 or i != o:
            self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.downsample(x))


class Resnet18(nn.Module):
    """ResNet-18 with the CIFAR stem; names as in torchvision."""

    def __init__(self, channels, width, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        c = width
        for stage in range(4):
            o = width << stage
            self.add_module(f"layer{stage + 1}", nn.Sequential(BasicBlock(c, o, 1 if stage == 0 else 2), BasicBlock(o, o, 1)))
            c = o
        self.fc = nn.Linear(c, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(nchw(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class GptBlock(nn.Module):
    def __init__(self, width, heads, rotary):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict({"c_attn": nn.Linear(width, 3 * width), "c_proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
        self.heads, self.rotary = heads, rotary

    def forward(self, x):
        width = x.shape[2]
        qkv = self.attn["c_attn"](self.ln_1(x))
        if self.rotary:
            qkv = rotate(qkv, 3 * self.heads, 2 * self.heads, width // self.heads)
        x = x + self.attn["c_proj"](attend(*qkv.split(width, 2), self.heads, self.heads, True)["y"])
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x)), approximate="tanh"))


class Gpt(nn.Module):
    """GPT-2; names as in Hugging Face's transformers, linear weights [out, in]."""

    def __init__(self, layers, width, heads, vocabulary, context, rotary=False, tied=True):
        super().__init__()
        parts = {"wte": nn.Embedding(vocabulary, width)}
        if not rotary:
            parts["wpe"] = nn.Embedding(context, width)
        parts["h"] = nn.ModuleList(GptBlock(width, heads, rotary) for _ in range(layers))
        parts["ln_f"] = nn.LayerNorm(width)
        self.transformer = nn.ModuleDict(parts)
        with torch.no_grad():
            for embedding in (parts["wte"], parts.get("wpe")):
                if embedding is not None:
                    embedding.weight.mul_(0.3)
        self.lm_head = None if tied else nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids):
        t = self.transformer
        x = t["wte"](ids)
        if "wpe" in t:
            x = x + t["wpe"].weight[: ids.shape[1]]
        for block in t["h"]:
            x = block(x)
        x = t["ln_f"](x)
        return F.linear(x, t["wte"].weight if self.lm_head is None else self.lm_head.weight)


class Images(nn.Module):
    """The layers run in torch's layout; flattening follows Lockstep's (channels last)."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        x = nchw(x)
        for layer in self.layers:
            if isinstance(layer, nn.Flatten) and x.dim() == 4:
                x = x.permute(0, 2, 3, 1)
            x = layer(x)
        return x


class Skip(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.block = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.block(x)


class Attention(nn.Module):
    def __init__(self, width, heads, causal, rotary):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.causal, self.rotary = heads, causal, rotary

    def forward(self, x):
        width, qkv = x.shape[2], self.qkv(x)
        if self.rotary:
            qkv = rotate(qkv, 3 * self.heads, 2 * self.heads, width // self.heads)
        return self.out(attend(*qkv.split(width, 2), self.heads, self.heads, self.causal)["y"])


class Positions(nn.Module):
    def __init__(self, length, width):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(length, width))

    def forward(self, x):
        return x + self.weight


def canonical(text):
    """`layers { a {} b { x: 1 } }` as the parser of configurations leaves it: each layer inside `layer { }`."""
    words, out, lists = text.replace("{", " { ").replace("}", " } ").split(), [], [False]
    for i, word in enumerate(words):
        if word == "{":
            lists.append(words[i - 1] in ("layers", "block"))
        elif word == "}":
            lists.pop()
            if lists[-1]:  # closes a layer of a list
                out.append("}")
        elif lists[-1]:  # opens one
            out.append("layer {")
        out.append(word)
    return " ".join(out)


def layers_cnn():
    """Convolutions, pools, norms, a residual and a repeat, as a list of layers."""
    text = """layers {
      conv2d { channels: 6 kernel: 3 } batch_norm {} relu {}
      residual { block { conv2d { channels: 6 kernel: 3 groups: 2 bias: false } batch_norm { momentum: 0.25 } silu {} } }
      max_pool { size: 2 }
      repeat { times: 2 block { conv2d { channels: 6 kernel: 3 dilation: 2 } tanh {} } }
      avg_pool { size: 3 stride: 2 padding: 1 }
      conv2d { channels: 8 kernel: 2 padding: 1 } gelu {}
      flatten {} linear { features: 9 bias: false } layer_norm {} sigmoid {} linear { features: 5 } }"""
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
        Skip(nn.Conv2d(6, 6, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(6, momentum=0.25), nn.SiLU()),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2), nn.Tanh(), nn.Conv2d(6, 6, 3, padding=2, dilation=2), nn.Tanh(),
        nn.AvgPool2d(3, 2, 1), nn.Conv2d(6, 8, 2, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(72, 9, bias=False),
        nn.LayerNorm(9), nn.Sigmoid(), nn.Linear(9, 5))
    model = Images(*model)
    names = {"layers.0.": "0.conv2d.", "layers.1.": "1.batch_norm.", "layers.3.block.0.": "3.residual.0.conv2d.",
             "layers.3.block.1.": "3.residual.1.batch_norm.", "layers.5.": "5.repeat.0.0.conv2d.",
             "layers.7.": "5.repeat.1.0.conv2d.", "layers.10.": "7.conv2d.", "layers.13.": "10.linear.",
             "layers.14.": "11.layer_norm.", "layers.16.": "13.linear."}
    return model, canonical(text), names


def layers_sequence():
    """A small transformer encoder as a list of layers."""
    text = """layers {
      embedding { rows: 11 width: 12 } positions {}
      residual { block { layer_norm {} attention { heads: 3 causal: false } } }
      residual { block { layer_norm {} attention { heads: 2 rotary: true } } }
      residual { block { layer_norm {} linear { features: 20 } gelu { tanh: true } linear { features: 12 } } }
      reshape { shape: [-1, 24] } linear { features: 7 } flatten {} linear { features: 4 } }"""
    model = nn.Sequential(
        nn.Embedding(11, 12), Positions(6, 12), Skip(nn.LayerNorm(12), Attention(12, 3, False, False)),
        Skip(nn.LayerNorm(12), Attention(12, 2, True, True)),
        Skip(nn.LayerNorm(12), nn.Linear(12, 20), nn.GELU("tanh"), nn.Linear(20, 12)),
        nn.Unflatten(1, (3, 2)), nn.Flatten(2), nn.Linear(24, 7), nn.Flatten(1), nn.Linear(21, 4))
    names = {"0.": "0.embedding.", "1.": "1.positions.", "2.block.0.": "2.residual.0.layer_norm.",
             "2.block.1.": "2.residual.1.attention.", "3.block.0.": "3.residual.0.layer_norm.",
             "3.block.1.": "3.residual.1.attention.", "4.block.0.": "4.residual.0.layer_norm.",
             "4.block.1.": "4.residual.1.linear.", "4.block.3.": "4.residual.3.linear.", "7.": "6.linear.", "9.": "8.linear."}
    return model, canonical(text), names


def renamed(name, names):
    """Torch's name under Lockstep's: the longest prefix in `names` is replaced."""
    prefix = max((p for p in names if name.startswith(p)), key=len, default=None)
    return name if prefix is None else names[prefix] + name[len(prefix):]


def mean_loss(model, x, labels):
    y = model(x)
    if labels.is_floating_point():
        return F.mse_loss(y, labels)
    return F.cross_entropy(y.flatten(0, -2), labels.flatten())


def losses(model, state, optimizer, x, labels):
    model.load_state_dict(state)
    optimizer = optimizer(model.parameters())
    values = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = mean_loss(model, x, labels)
        loss.backward()
        optimizer.step()
        values.append(loss.detach())
    return torch.stack([*values, mean_loss(model, x, labels).detach()])


def add_model(g, name, model, text, x, labels, classes=0, names=None):
    names = names or {}
    model.to(torch.float64).train()
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if value.is_floating_point():  # move biases and norms off their special initial values; float32 exactly
                noise = 0.1 * g.normal(*value.shape) if value.dim() == 1 and "running" not in key else 0
                value.copy_((value + noise).to(torch.float32))
    state = {k: v.clone() for k, v in model.state_dict().items()}

    def keep(kind, values):
        for key, value in values.items():
            g.tensors[f"{name}/{kind}/{renamed(key, names)}"] = stored(value)

    running = lambda: {k: v for k, v in model.state_dict().items() if "running" in k}
    g.tensors[f"{name}/in/x"], g.tensors[f"{name}/in/labels"] = stored(x), stored(labels)
    keep("weight", dict(model.named_parameters()))
    keep("state", running())
    rows = labels.shape[0] if labels.is_floating_point() else labels.numel()
    loss = mean_loss(model, x, labels) * rows
    loss.backward()
    keep("grad", {k: p.grad for k, p in model.named_parameters()})
    keep("state_after", running())
    g.tensors[f"{name}/out/loss"] = stored(loss)
    g.tensors[f"{name}/out/losses_sgd"] = stored(losses(model, state, lambda p: torch.optim.SGD(p, **SGD), x, labels))
    g.tensors[f"{name}/out/losses_adamw"] = stored(losses(model, state, lambda p: torch.optim.AdamW(p, **ADAMW), x, labels))
    attributes = {"model": text, "classes": classes, "rows": rows,
                  "loss": "mean_squared_error" if labels.is_floating_point() else "cross_entropy",
                  "sgd": SGD, "adamw": ADAMW}
    g.describe(name, "model", attributes, ["x", "labels"], [], ["loss", "losses_sgd", "losses_adamw"])


def main():
    torch.manual_seed(10)
    g = GoldenFile("models", 10)
    add_model(g, "mlp", Mlp(12, [16, 9], 4, "relu"), 'name: "mlp" mlp { hidden: [16, 9] }', g.normal(7, 3, 4),
              g.integers(4, 7), 4)
    add_model(g, "mlp_regression", Mlp(6, [10], 3, "silu"), 'name: "mlp" mlp { hidden: 10 activation: SILU outputs: 3 }',
              g.normal(5, 6), g.normal(5, 3))
    add_model(g, "resnet18", Resnet18(3, 2, 5), 'name: "resnet18" resnet { width: 2 }', g.normal(4, 16, 16, 3),
              g.integers(5, 4), 5)
    add_model(g, "gpt", Gpt(2, 16, 4, 19, 8), 'name: "gpt" gpt { layers: 2 width: 16 heads: 4 vocabulary: 19 context: 8 }',
              g.integers(19, 3, 7), g.integers(19, 3, 7))
    add_model(g, "gpt_rotary", Gpt(1, 12, 2, 13, 6, rotary=True, tied=False),
              'name: "gpt" gpt { layers: 1 width: 12 heads: 2 vocabulary: 13 positions: ROTARY tied: false }',
              g.integers(13, 2, 6), g.integers(13, 2, 6))
    model, text, names = layers_cnn()
    add_model(g, "layers_cnn", model, text, g.normal(4, 9, 8, 3), g.integers(5, 4), 5, names)
    model, text, names = layers_sequence()
    add_model(g, "layers_sequence", model, text, g.integers(11, 3, 6), g.integers(4, 3), 4, names)
    g.save()


if __name__ == "__main__":
    main()
