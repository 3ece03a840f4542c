#!/usr/bin/env python3
"""Reads what `trainer export --layout torch` wrote with Python's safetensors, evaluates it in double as PyTorch would, and
writes the weights anew under the names of a torch.nn.Sequential.

    tests/interchange/torch_layout.py MODEL.safetensors DATA LOGITS.csv SEQUENTIAL.safetensors

The network is that of torch_test.cpp. Its logits must be within 1e-4 of those of `trainer eval --logits`.
"""
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

LAYERS = {"conv1": "0", "conv2": "3", "batchnorm1": "4", "dense1": "7", "batchnorm2": "8", "dense2": "10"}


def conv(x, weight, bias=0.0, padding=0):
    """x [n, c, h, w], weight [out, c, k, k]."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    return np.einsum("nchwyx,ocyx->nohw", windows, weight, optimize=True) + np.reshape(bias, (-1, 1, 1))


def maxpool(x):
    n, c, h, w = x.shape
    return x[:, :, :h // 2 * 2, :w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


def norm(x, t, name):
    each = (1, -1, 1, 1)[:x.ndim]
    part = {key: t[f"{name}.{key}"].reshape(each) for key in ("weight", "bias", "running_mean", "running_var")}
    return part["weight"] * (x - part["running_mean"]) / np.sqrt(part["running_var"] + 1e-5) + part["bias"]


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def logits(t, x):
    x = np.maximum(maxpool(conv(x, t["conv1.weight"], t["conv1.bias"])), 0)
    x = gelu(norm(conv(x, t["conv2.weight"], padding=1), t, "batchnorm1"))
    x = gelu(norm(x.reshape(len(x), -1) @ t["dense1.weight"].T, t, "batchnorm2"))
    return x @ t["dense2.weight"].T + t["dense2.bias"]


def main():
    model, data, table, sequential = sys.argv[1:]
    with safe_open(model, "np") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt", metadata
    tensors = load_file(model)
    rows = np.loadtxt(table, delimiter=",", skiprows=1)
    pixels = np.fromfile(data + "/t10k-images-idx3-ubyte", np.uint8, offset=16)
    x = pixels.reshape(len(rows), 1, 12, 12) / 255.0
    x = (x - float(metadata["mean"])) / float(metadata["std"])
    off = np.abs(logits({name: values.astype(np.float64) for name, values in tensors.items()}, x) - rows[:, 2:]).max()
    print(f"logits differ by at most {off:.2g}")
    renamed = {f"{LAYERS[name.split('.')[0]]}.{name.split('.')[1]}": values for name, values in tensors.items()}
    renamed["4.num_batches_tracked"] = np.array(12, np.int64)
    save_file(renamed, sequential)
    sys.exit(1 if off > 1e-4 else 0)


if __name__ == "__main__":
    main()
