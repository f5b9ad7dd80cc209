"""Golden values of every operator, forward and backward, from PyTorch. Writes tests/testing/golden/ops_*.safetensors.

Layouts are Lockstep's (kernels/ops.h): images NHWC, sequences [B, T, C], convolution weights OIHW, linear weights
[out, in]. Losses are weighted sums, never means.
"""
import math

import torch
import torch.nn.functional as F

from golden import GoldenFile, nchw, nhwc


def linear_group():
    g = GoldenFile("ops_linear", 1)
    for name, lead in [("linear", (5,)), ("linear_sequence", (2, 3))]:
        g.add(name, "linear", lambda x, w, b: {"y": F.linear(x, w, b)},
              {"x": g.normal(*lead, 7), "w": g.normal(11, 7), "b": g.normal(11)}, ["x", "w", "b"])
    g.add("linear_no_bias", "linear", lambda x, w: {"y": F.linear(x, w)},
          {"x": g.normal(5, 7), "w": g.normal(3, 7)}, ["x", "w"])
    g.add("linear_odd", "linear", lambda x, w, b: {"y": F.linear(x, w, b)},
          {"x": g.normal(13, 37), "w": g.normal(35, 37), "b": g.normal(35)}, ["x", "w", "b"])
    for activation, f in ACTIVATIONS.items():  # these fuse into the epilogue
        g.add(f"linear_{activation}", "linear_activation",
              lambda x, w, b, f=f: {"y": f(F.linear(x, w, b))},
              {"x": g.normal(5, 7), "w": g.normal(9, 7), "b": g.normal(9)}, ["x", "w", "b"],
              {"activation": activation})
    g.add("linear_residual", "linear_residual", lambda x, w, b, r: {"y": r + F.linear(x, w, b)},
          {"x": g.normal(2, 3, 7), "w": g.normal(7, 7), "b": g.normal(7), "r": g.normal(2, 3, 7)},
          ["x", "w", "b", "r"])
    for ta, tb in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        g.add(f"matmul_{'nt'[ta]}{'nt'[tb]}", "matmul",
              lambda a, b, ta=ta, tb=tb: {"y": (a.mT if ta else a) @ (b.mT if tb else b)},
              {"a": g.normal(2, *((5, 3) if ta else (3, 5))), "b": g.normal(2, *((4, 5) if tb else (5, 4)))}, ["a", "b"],
              {"transpose_a": bool(ta), "transpose_b": bool(tb)})
    g.add("matmul_batched", "matmul", lambda a, b: {"y": a @ b},
          {"a": g.normal(2, 3, 4, 5), "b": g.normal(2, 3, 5, 6)}, ["a", "b"],
          {"transpose_a": False, "transpose_b": False})
    g.add("matmul_shared", "matmul_shared", lambda a, b: {"y": a @ b},
          {"a": g.normal(3, 4, 5), "b": g.normal(5, 6)}, ["a", "b"], {"transpose_a": False, "transpose_b": False})
    g.save()


def conv_group():
    g = GoldenFile("ops_conv", 2)
    # name, height, width, in, out, kernel (h, w), stride, padding, dilation, groups, bias
    for name, h, w, i, o, k, stride, padding, dilation, groups, bias in [
            ("conv_3x3", 5, 7, 3, 4, (3, 3), 1, 1, 1, 1, True),
            ("conv_no_bias", 5, 6, 3, 5, (3, 3), 1, 0, 1, 1, False),
            ("conv_stride", 7, 6, 3, 4, (3, 3), 2, 1, 1, 1, False),
            ("conv_stride_1x1", 6, 5, 4, 3, (1, 1), 2, 0, 1, 1, False),
            ("conv_1x1", 3, 5, 7, 5, (1, 1), 1, 0, 1, 1, True),
            ("conv_dilation", 9, 8, 2, 3, (3, 3), 1, 2, 2, 1, True),
            ("conv_groups", 5, 5, 6, 4, (3, 3), 1, 1, 1, 2, True),
            ("conv_depthwise", 6, 5, 4, 4, (3, 3), 1, 1, 1, 4, False),
            ("conv_even_kernel", 5, 6, 2, 3, (4, 2), 1, 1, 1, 1, True),
            ("conv_5x5_stride", 9, 9, 1, 3, (5, 5), 3, 2, 1, 1, True),
            ("conv_stride_dilation_groups", 11, 9, 4, 6, (3, 3), 2, 2, 2, 2, True),
            ("conv_17_channels", 4, 4, 17, 19, (3, 3), 1, 1, 1, 1, True)]:
        inputs = {"x": g.normal(2, h, w, i), "w": g.normal(o, i // groups, *k)}
        if bias:
            inputs["b"] = g.normal(o)
        g.add(name, "conv2d",
              lambda x, w, b=None, s=stride, p=padding, d=dilation, n=groups:
              {"y": nhwc(F.conv2d(nchw(x), w, b, s, p, d, n))},
              inputs, list(inputs), {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups})
    g.save()


def pool_group():
    g = GoldenFile("ops_pool", 3)
    for name, h, w, c, size, stride, padding in [("2x2", 6, 4, 3, 2, 2, 0), ("odd", 7, 5, 3, 2, 2, 0),
                                                 ("overlap", 7, 6, 5, 3, 2, 1), ("stride_1", 4, 5, 2, 3, 1, 1)]:
        attributes = {"size": size, "stride": stride, "padding": padding}
        g.add(f"max_pool_{name}", "max_pool",
              lambda x, a=(size, stride, padding): {"y": nhwc(F.max_pool2d(nchw(x), *a))},
              {"x": g.normal(2, h, w, c)}, ["x"], attributes)
        for count in [True, False]:
            g.add(f"avg_pool_{name}{'' if count else '_inside'}", "avg_pool",
                  lambda x, a=(size, stride, padding), n=count:
                  {"y": nhwc(F.avg_pool2d(nchw(x), *a, count_include_pad=n))},
                  {"x": g.normal(2, h, w, c)}, ["x"], attributes | {"count_padding": count})
    ties = (g.integers(3, 2, 6, 6, 3)).to(torch.float64)  # equal values: the first of a window wins
    g.add("max_pool_ties", "max_pool", lambda x: {"y": nhwc(F.max_pool2d(nchw(x), 2, 2, 0))}, {"x": ties}, ["x"],
          {"size": 2, "stride": 2, "padding": 0})
    g.add("global_avg_pool", "global_avg_pool", lambda x: {"y": x.mean((1, 2))}, {"x": g.normal(3, 5, 4, 7)}, ["x"])
    g.save()


def norm_group():
    g = GoldenFile("ops_norm", 4)
    for name, shape, relu, residual in [("batch_norm", (3, 4, 5, 6), False, False), ("batch_norm_rows", (7, 5), False, False),
                                        ("batch_norm_relu", (2, 3, 3, 5), True, False),
                                        ("batch_norm_residual_relu", (2, 3, 3, 5), True, True),
                                        ("batch_norm_offset", (4, 3, 3, 3), False, False)]:
        c = shape[-1]
        offset = 30.0 if name.endswith("offset") else 0.5  # a mean far from zero: a careless variance cancels
        inputs = {"x": g.normal(*shape, scale=2, offset=offset), "gamma": g.normal(c, offset=1), "beta": g.normal(c),
                  "running_mean": g.normal(c), "running_var": g.uniform(c) + 0.5}
        if residual:
            inputs["residual"] = g.normal(*shape)

        def train(x, gamma, beta, running_mean, running_var, residual=None, relu=relu):
            mean, var = running_mean.clone(), running_var.clone()
            axes = tuple(range(x.dim() - 1))
            order = (0, x.dim() - 1, *range(1, x.dim() - 1))
            back = (0, *range(2, x.dim()), 1)
            y = F.batch_norm(x.permute(order), mean, var, gamma, beta, True, 0.1, 1e-5).permute(back)
            y = y if residual is None else y + residual
            return {"y": F.relu(y) if relu else y, "running_mean": mean, "running_var": var}

        def evaluate(x, gamma, beta, running_mean, running_var, residual=None, relu=relu):
            order = (0, x.dim() - 1, *range(1, x.dim() - 1))
            back = (0, *range(2, x.dim()), 1)
            y = F.batch_norm(x.permute(order), running_mean, running_var, gamma, beta, False, 0.1, 1e-5).permute(back)
            y = y if residual is None else y + residual
            return {"y": F.relu(y) if relu else y}

        attributes = {"epsilon": 1e-5, "momentum": 0.1, "relu": relu, "residual": residual}
        gradients = ["x", "gamma", "beta"] + (["residual"] if residual else [])
        g.add(name, "batch_norm", train, inputs, gradients, attributes)
        g.add(f"{name}_inference", "batch_norm_inference", evaluate, inputs, [], attributes)
    for name, shape, epsilon in [("layer_norm", (5, 7), 1e-5), ("layer_norm_sequence", (2, 3, 33), 1e-5),
                                 ("layer_norm_epsilon", (3, 4), 1e-2)]:
        c = shape[-1]
        g.add(name, "layer_norm", lambda x, gamma, beta, c=c, e=epsilon: {"y": F.layer_norm(x, (c,), gamma, beta, e)},
              {"x": g.normal(*shape, scale=2, offset=1), "gamma": g.normal(c, offset=1), "beta": g.normal(c)},
              ["x", "gamma", "beta"], {"epsilon": epsilon})
    g.add("layer_norm_residual", "layer_norm_residual",
          lambda x, gamma, beta: {"y": x + F.layer_norm(x, (9,), gamma, beta, 1e-5)},
          {"x": g.normal(2, 3, 9), "gamma": g.normal(9, offset=1), "beta": g.normal(9)}, ["x", "gamma", "beta"],
          {"epsilon": 1e-5})
    g.save()


ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
               "tanh": torch.tanh, "sigmoid": torch.sigmoid, "silu": F.silu}


def elementwise_group():
    g = GoldenFile("ops_elementwise", 5)
    for name, f in ACTIVATIONS.items():
        x = g.normal(3, 29, scale=2)
        x[0, :8] = torch.tensor([-40, -9, -1e-3, 0.5, 1e-3, 9, 40, 100.0])  # tails
        g.add(name, name, lambda x, f=f: {"y": f(x)}, {"x": x}, ["x"])
    for name, f in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}.items():
        g.add(name, name, lambda a, b, f=f: {"y": f(a, b)},
              {"a": g.normal(2, 3, 5), "b": g.uniform(2, 3, 5) + 0.5}, ["a", "b"])
        g.add(f"{name}_suffix", name, lambda a, b, f=f: {"y": f(a, b)},
              {"a": g.normal(2, 3, 5), "b": g.uniform(5) + 0.5}, ["a", "b"])
    g.add("residual_chain", "residual_chain", lambda x, r: {"y": F.relu(x + r) * x + torch.tanh(r)},
          {"x": g.normal(3, 17), "r": g.normal(3, 17)}, ["x", "r"])
    g.save()


def rotate(x, heads, rotated, size, base=10000.0):
    """Half rotation as in GPT-NeoX: pairs (i, i + size/2) of the first `size` elements of a head."""
    b, t, width = x.shape
    d = width // heads
    x = x.view(b, t, heads, d)
    angle = torch.arange(t, dtype=torch.float64)[:, None] * base ** (-2 * torch.arange(size // 2, dtype=torch.float64) / size)
    cos, sin = angle.cos()[None, :, None, :], angle.sin()[None, :, None, :]
    low, high, rest = x[..., : size // 2], x[..., size // 2: size], x[..., size:]
    turned = torch.cat([low * cos - high * sin, high * cos + low * sin, rest], -1)
    return torch.cat([turned[:, :, :rotated], x[:, :, rotated:]], 2).reshape(b, t, width)


def attend(q, k, v, heads, key_heads, causal, mask=None):
    b, t, _ = q.shape
    s = k.shape[1]
    split = lambda x, n: x.view(b, x.shape[1], n, -1).transpose(1, 2)
    bias = torch.zeros(b, 1, t, s, dtype=torch.float64)
    if causal:  # query t sees keys s <= t + (S - T)
        bias = bias.masked_fill(~torch.ones(t, s, dtype=torch.bool).tril(s - t), -math.inf)
    if mask is not None:
        bias = bias + (torch.where(mask != 0, 0.0, -math.inf) if mask.dtype == torch.uint8 else mask)[:, None, None, :]
    y = F.scaled_dot_product_attention(split(q, heads), split(k, key_heads), split(v, key_heads), attn_mask=bias,
                                       enable_gqa=heads != key_heads)
    return {"y": y.transpose(1, 2).reshape(b, t, -1)}


def sequence_group():
    g = GoldenFile("ops_sequence", 6)
    for name, shape in [("softmax", (5, 7)), ("softmax_sequence", (2, 3, 33)), ("softmax_one", (3, 1))]:
        g.add(name, "softmax", lambda x: {"y": F.softmax(x, -1)}, {"x": g.normal(*shape, scale=3)}, ["x"])
    ids = g.integers(7, 2, 5)
    ids[0, 0] = ids[1, 3] = 2  # a row that is used several times
    g.add("embedding", "embedding", lambda ids, table: {"y": F.embedding(ids, table)},
          {"ids": ids, "table": g.normal(7, 6)}, ["table"])
    g.add("positions", "positions", lambda x, table: {"y": x + table[: x.shape[1]]},
          {"x": g.normal(2, 5, 6), "table": g.normal(8, 6)}, ["x", "table"])
    for name, heads, d, rotated, size in [("rotary", 3, 4, 3, 4), ("rotary_partial", 2, 6, 2, 4),
                                          ("rotary_packed", 6, 4, 4, 4)]:
        g.add(name, "rotary", lambda x, a=(heads, rotated, size): {"y": rotate(x, *a)}, {"x": g.normal(2, 5, heads * d)},
              ["x"], {"head_size": d, "rotary_size": size, "rotated_heads": rotated, "base": 10000.0})
    bool_mask = (g.uniform(2, 6) > 0.4).to(torch.uint8)
    bool_mask[:, 0] = 1
    cases = [("attention_full", 2, 2, 4, 5, 5, False, None), ("attention_causal", 3, 3, 4, 7, 7, True, None),
             ("attention_cross", 2, 2, 3, 4, 6, False, None), ("attention_causal_longer_keys", 2, 2, 4, 3, 5, True, None),
             ("attention_bool_mask", 2, 2, 4, 5, 6, False, bool_mask),
             ("attention_float_mask", 2, 2, 4, 5, 6, False, g.normal(2, 6)),
             ("attention_causal_mask", 2, 2, 4, 6, 6, True, bool_mask),
             ("attention_grouped", 4, 2, 3, 5, 5, True, None), ("attention_long", 1, 1, 5, 67, 67, True, None)]
    for name, heads, key_heads, d, t, s, causal, mask in cases:
        b = 1 if name == "attention_long" else 2
        inputs = {"q": g.normal(b, t, heads * d), "k": g.normal(b, s, key_heads * d), "v": g.normal(b, s, key_heads * d)}
        if mask is not None:
            inputs["mask"] = mask
        attributes = {"heads": heads, "key_heads": key_heads, "causal": causal}
        g.add(name, "attention", lambda q, k, v, mask=None, a=(heads, key_heads, causal): attend(q, k, v, *a, mask),
              inputs, ["q", "k", "v"], attributes)
    for name, heads, key_heads, d, causal in [("attention_packed", 2, 2, 4, True), ("attention_packed_grouped", 4, 2, 3, True)]:
        sizes = [heads * d, key_heads * d, key_heads * d]
        g.add(name, "attention_packed",
              lambda qkv, z=sizes, a=(heads, key_heads, causal): attend(*qkv.split(z, 2), *a),
              {"qkv": g.normal(2, 5, sum(sizes))}, ["qkv"], {"heads": heads, "key_heads": key_heads, "causal": causal})
    g.save()


def shape_group():
    g = GoldenFile("ops_shape", 7)
    g.add("reshape", "reshape", lambda x: {"y": x.reshape(2, 3, 10)}, {"x": g.normal(2, 6, 5)}, ["x"], {"shape": [2, 3, 10]})
    for name, shape, permutation in [("transpose", (2, 3, 4), (0, 2, 1)), ("transpose_heads", (2, 3, 4, 5), (0, 2, 1, 3)),
                                     ("transpose_cycle", (2, 3, 4, 5), (0, 3, 1, 2))]:  # the batch stays first
        g.add(name, "transpose", lambda x, p=permutation: {"y": x.permute(p)}, {"x": g.normal(*shape)}, ["x"],
              {"permutation": list(permutation)})
    for name, sizes, axis in [("concat_last", (3, 1, 4), 2), ("concat_middle", (2, 3), 1)]:
        shapes = [[2, 3, 5] for _ in sizes]
        for shape, size in zip(shapes, sizes):
            shape[axis] = size
        inputs = {f"x{i}": g.normal(*shape) for i, shape in enumerate(shapes)}
        g.add(name, "concat", lambda axis=axis, **x: {"y": torch.cat(list(x.values()), axis)}, inputs, list(inputs), {"axis": axis})
    for name, axis, begin, size in [("slice_last", 2, 1, 3), ("slice_middle", 1, 2, 2), ("slice_all", 1, 0, 4)]:
        g.add(name, "slice", lambda x, a=(axis, begin, size): {"y": x.narrow(*a)}, {"x": g.normal(2, 4, 5)}, ["x"],
              {"axis": axis, "begin": begin, "size": size})
    for name, axis in [("first", 1), ("middle", 2), ("last", 3)]:
        g.add(f"sum_{name}", "sum", lambda x, a=axis: {"y": x.sum(a)}, {"x": g.normal(2, 3, 4, 5)}, ["x"], {"axis": axis})
        g.add(f"mean_{name}", "mean", lambda x, a=axis: {"y": x.mean(a)}, {"x": g.normal(2, 3, 4, 5)}, ["x"], {"axis": axis})
    g.save()


def loss_group():
    g = GoldenFile("ops_loss", 8)

    def cross_entropy(logits, labels, weights):
        rows = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none").view(labels.shape)
        return {"loss": (rows * weights).sum()}

    def squared(prediction, target, weights):
        return {"loss": (weights * ((prediction - target) ** 2).flatten(1).mean(1)).sum()}

    for name, shape in [("cross_entropy", (6, 5)), ("cross_entropy_sequence", (2, 4, 33))]:
        weights = g.uniform(*shape[:-1]) + 0.5
        weights.view(-1)[1] = 0
        g.add(name, "cross_entropy", cross_entropy, {"logits": g.normal(*shape, scale=3),
              "labels": g.integers(shape[-1], *shape[:-1]), "weights": weights}, ["logits"])
    large = g.normal(4, 5, scale=50)  # exp would overflow without the maximum taken off
    g.add("cross_entropy_large", "cross_entropy", cross_entropy,
          {"logits": large + 200, "labels": g.integers(5, 4), "weights": torch.ones(4, dtype=torch.float64)}, ["logits"])
    for name, shape in [("mean_squared_error", (5, 7)), ("mean_squared_error_one", (6, 1))]:
        g.add(name, "mean_squared_error", squared, {"prediction": g.normal(*shape), "target": g.normal(*shape),
              "weights": g.uniform(shape[0])}, ["prediction"])
    logits = g.normal(9, 4)
    g.add("accuracy", "accuracy",
          lambda logits, labels, weights: {"hits": ((logits.argmax(-1) == labels) * weights).sum()},
          {"logits": logits, "labels": torch.where(g.uniform(9) > 0.5, logits.argmax(-1), g.integers(4, 9)),
           "weights": g.uniform(9)})
    g.save()


if __name__ == "__main__":
    for group in (linear_group, conv_group, pool_group, norm_group, elementwise_group, sequence_group, shape_group, loss_group):
        group()
