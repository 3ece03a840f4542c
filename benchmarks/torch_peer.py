#!/usr/bin/env python3
"""The peer of cpu_vs_torch.py: the same networks in PyTorch, eager, fp32, data already in memory.

Prints one JSON value: seconds of each epoch (training only), and for `process` the time that a user waits.
"""
import argparse
import gzip
import json
import os
import time

START = time.perf_counter()

import numpy as np  # noqa: E402  (imports are part of a process's cost)
import torch  # noqa: E402
from torch import nn  # noqa: E402


def quick():
    return nn.Sequential(nn.Conv2d(1, 24, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(24, 32, 3), nn.MaxPool2d(2),
                         nn.ReLU(), nn.Flatten(), nn.Linear(800, 256), nn.ReLU(), nn.Linear(256, 10))


def pytorch_example():
    return nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5),
                         nn.Linear(128, 10))


def tf_sample():
    return nn.Sequential(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(3136, 1024), nn.ReLU(), nn.Dropout(0.25), nn.Linear(1024, 10))


NETWORKS = {"quick": quick, "pytorch-example": pytorch_example, "tf-sample": tf_sample}


def optimizer_of(model, network, steps):
    if model == "quick":
        made = torch.optim.Adam(network.parameters(), lr=1e-2, betas=(0.7, 0.9))
        return made, torch.optim.lr_scheduler.OneCycleLR(made, 1e-2, total_steps=steps, cycle_momentum=False)
    if model == "pytorch-example":
        return torch.optim.Adadelta(network.parameters(), lr=1.0), None
    return torch.optim.Adam(network.parameters(), lr=1e-3), None


def read(folder, name):
    with gzip.open(os.path.join(folder, name + ".gz")) as file:
        return np.frombuffer(file.read(), np.uint8)


def load(folder, split):
    images = read(folder, f"{split}-images-idx3-ubyte")[16:].reshape(-1, 1, 28, 28)
    labels = read(folder, f"{split}-labels-idx1-ubyte")[8:]
    x = (torch.from_numpy(images.copy()).float() / 255 - 0.1307) / 0.3081
    return x, torch.from_numpy(labels.copy()).long()


def train_epoch(network, optimizer, schedule, x, y, batch):
    network.train()
    order = torch.randperm(len(x))
    for rows in order.split(batch):
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        optimizer.step()
        if schedule:
            schedule.step()


@torch.no_grad()
def accuracy(network, x, y):
    network.eval()
    return sum((network(a).argmax(1) == b).sum().item() for a, b in zip(x.split(1000), y.split(1000))) / len(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=NETWORKS, default="quick")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--images", type=int, default=60000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--layout", choices=["nchw", "channels_last"], default="channels_last")
    parser.add_argument("--bf16", action="store_true", help="within torch.autocast")
    parser.add_argument("--data", required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    layout = torch.channels_last if options.layout == "channels_last" else torch.contiguous_format
    x, y = load(options.data, "train")
    x, y = x[:options.images].contiguous(memory_format=layout), y[:options.images]
    network = NETWORKS[options.model]().to(memory_format=layout)
    steps = options.epochs * -(-len(x) // options.batch)
    optimizer, schedule = optimizer_of(options.model, network, steps)
    seconds = []
    for _ in range(options.epochs):
        begin = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bf16):
            train_epoch(network, optimizer, schedule, x, y, options.batch)
        seconds.append(time.perf_counter() - begin)
    reached = accuracy(network, *load(options.data, "t10k"))
    print(json.dumps({"epoch_seconds": seconds, "accuracy": reached, "torch": torch.__version__,
                      "process_seconds": time.perf_counter() - START}))


if __name__ == "__main__":
    main()
