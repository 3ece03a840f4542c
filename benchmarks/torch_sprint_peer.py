#!/usr/bin/env python3
"""The peer of `trainer sprint`: its recipes in PyTorch, fp32 and channels last, eager on a CPU, and on a GPU as one CUDA
graph of all steps and the test (TF32 as PyTorch has it by default). Called by sprint_vs_torch.py and gpu_check's stage sprint.

Prints one JSON value: accuracy in percent and seconds of training + test of each seed, data already in memory.
"""
import argparse
import json
import math
import time

import torch
from torch import nn
from torch.nn import functional

import torch_peer

LEAN = {"convolutions": ((8, 3), (24, 2)), "hidden": 64, "edge": 28, "shift": 0, "momentum": 0.3, "batch": 256, "steps": 165,
        "muon": 0.33, "adam": 0.08, "beta2": 0.9, "logit_scale": 0.5, "smoothing": 0.20, "warmup": 0.1, "start": 0.5, "end": 0.05,
        "muon_momentum": 0.6, "share": 0.35, "from": 0.25, "views": False}
SPRINT = {**LEAN, "convolutions": ((16, 3), (48, 2)), "hidden": 256, "edge": 26, "batch": 1152, "steps": 19, "muon": 0.40,
          "adam": 0.07, "logit_scale": 0.3, "smoothing": 0.12, "start": 0.2, "share": 1, "from": 0}
SPRINT_995 = {**SPRINT, "hidden": 128, "edge": 28, "shift": 1, "momentum": 0.1, "batch": 500, "steps": 230, "muon": 0.45, "adam": 0.035,
              "muon_momentum": 0.7, "beta2": 0.95, "logit_scale": 0.5, "smoothing": 0.1, "warmup": 0.15, "start": 0.3, "end": 0, "share": 0.25,
              "from": 0.2, "views": True}
RECIPES = {"sprint": SPRINT, "sprint-lean": LEAN, "sprint-995": SPRINT_995}
BACKGROUND = -0.1307 / 0.3081


class Cut(torch.autograd.Function):
    """The identity forward; backward sets the gradient of images that are not selected to 0. `kept` [n], 1 or 0, is filled
    in between, so it cannot be a saved tensor, which must not change."""

    @staticmethod
    def forward(ctx, x, kept):
        ctx.kept = kept
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.kept.view(-1, *[1] * (gradient.dim() - 1)), None


class Norm(nn.Module):
    """Batch normalisation with beta and without gamma, then GELU. If images are selected, `kept` says which."""

    def __init__(self, channels, momentum):
        super().__init__()
        self.momentum = momentum
        self.offset = nn.Parameter(torch.zeros(channels))
        self.register_buffer("gain", torch.ones(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.kept = None

    def forward(self, x):
        x = x if self.kept is None else Cut.apply(x, self.kept)
        x = functional.batch_norm(x, self.mean, self.variance, self.gain, self.offset, self.training, self.momentum, 1e-5)
        return functional.gelu(x, approximate="tanh")


def network_of(r):
    layers, channels, edge = [], 1, r["edge"]
    for out, pool in r["convolutions"]:
        layers += [nn.Conv2d(channels, out, 3, bias=False), nn.MaxPool2d(pool), Norm(out, r["momentum"])]
        channels, edge = out, (edge - 2) // pool
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * edge * edge, r["hidden"], bias=False),
                            Norm(r["hidden"], r["momentum"]), nn.Linear(r["hidden"], 10))
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound)
    return network.to(memory_format=torch.channels_last)


class Muon(torch.optim.Optimizer):
    """Momentum, nearly orthogonalised by three Newton-Schulz iterations."""

    def __init__(self, parameters, lr, momentum):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                v = self.state[p].setdefault("v", torch.zeros_like(p)).mul_(group["momentum"]).add_(p.grad)
                x = (p.grad + group["momentum"] * v).reshape(len(p), -1)
                rows, columns = x.shape
                x = x.t() if rows > columns else x
                x = x / (x.norm() + 1e-7)
                for _ in range(3):
                    a = x @ x.t()
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
                x = x.t() if rows > columns else x
                p.sub_(group["lr"] * math.sqrt(max(1, rows / columns)) * x.reshape(p.shape))


def mean_loss(network, r, x, labels, selects):
    """The loss of the step's images; if it `selects`, of the hardest ones, which alone are backpropagated."""
    kept = torch.ones(len(x), device=x.device) if selects else None
    for layer in network:
        if isinstance(layer, Norm):
            layer.kept = kept
    logits = network(x) * r["logit_scale"]
    if selects:
        plain = functional.cross_entropy(logits.detach(), labels, reduction="none")
        hardest = plain.topk(int(r["share"] * len(x))).indices
        kept.zero_().index_fill_(0, hardest, 1)
        logits, labels = logits[hardest], labels[hardest]
    return functional.cross_entropy(logits, labels, label_smoothing=r["smoothing"])


def shifted(x, most):
    """Each image moved by up to `most` pixels each way, whole pixels, with the background where nothing was."""
    edge = x.shape[-1]
    padded = functional.pad(x[:, 0], (most,) * 4, value=BACKGROUND)
    rows, columns = (torch.arange(edge, device=x.device) + torch.randint(0, 2 * most + 1, (len(x), 1), device=x.device)
                     for _ in range(2))
    return padded[torch.arange(len(x), device=x.device)[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]


def train(network, optimizers, r, images, labels, order):
    """All steps of a recipe; `order` holds the images' positions, step after step."""
    rates = [r["muon"], r["adam"]]
    network.train()
    for step in range(r["steps"]):
        selects = r["share"] < 1 and step / r["steps"] >= r["from"]
        u = (step + 0.5) / r["steps"]
        warmup, start, end = r["warmup"], r["start"], r["end"]
        factor = start + (1 - start) * u / warmup if u < warmup else end + (1 - end) * (1 - u) / (1 - warmup)
        rows = order[step * r["batch"]:(step + 1) * r["batch"]]
        x = images[rows] if r["shift"] == 0 else shifted(images[rows], r["shift"])
        x = x.contiguous(memory_format=torch.channels_last)
        loss = mean_loss(network, r, x, labels[rows], selects)
        for optimizer, rate in zip(optimizers, rates):
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()


def answers(network, r, x):
    """The classes of test images; with views, those of the least certain tenth by the mean log-softmax of the image, counted
    twice, and the image shifted by a pixel each way."""
    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(part) for part in x.split(1000)]) * r["logit_scale"]
        if not r["views"]:
            return logits.argmax(1)
        first, second = logits.topk(2).values.unbind(1)
        chosen = (first - second).topk(len(x) // 10, largest=False).indices
        padded, edge = functional.pad(x[chosen], (1,) * 4, value=BACKGROUND), x.shape[-1]
        shown = [padded[..., y:y + edge, z:z + edge].contiguous(memory_format=torch.channels_last) for y, z in ((0, 1), (2, 1), (1, 0), (1, 2))]
        mean = sum(functional.log_softmax(network(view) * r["logit_scale"], 1) for view in shown)
        return logits.index_copy(0, chosen, mean + 2 * functional.log_softmax(logits[chosen], 1)).argmax(1)


def optimizers_of(network, r, **adam):
    weights = [layer.weight for layer in network if isinstance(layer, (nn.Conv2d, nn.Linear))][:-1]
    rest = [p for p in network.parameters() if all(p is not w for w in weights)]
    return [Muon(weights, r["muon"], r["muon_momentum"]), torch.optim.Adam(rest, lr=r["adam"], betas=(0.7, r["beta2"]), **adam)]


def order_of(r, images):
    """The positions of the images of all steps: every epoch in a new order."""
    wanted = r["steps"] * r["batch"]
    return torch.cat([torch.randperm(images) for _ in range(-(-wanted // images))])


def train_and_test(r, images, test):
    network = network_of(r)
    optimizers = optimizers_of(network, r)
    order = order_of(r, len(images[0]))
    begin = time.perf_counter()
    train(network, optimizers, r, *images, order)
    return 100 * (answers(network, r, test[0]) == test[1]).sum().item() / len(test[0]), time.perf_counter() - begin


class Captured:
    """All steps of a recipe and its test as one CUDA graph, replayed for each seed from its own state."""

    def __init__(self, r, images, test):
        self.recipe, self.test_images = r, len(test[0])
        self.network = network_of(r).cuda()
        self.optimizers = optimizers_of(self.network, r, capturable=True)
        self.images = len(images[0])
        self.order = order_of(r, self.images).cuda()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # creates what libraries and optimisers allocate at first use
            train(self.network, self.optimizers, dict(r, steps=3), *images, self.order)
            self.correct(*test)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            train(self.network, self.optimizers, r, *images, self.order)
            self.result = self.correct(*test)

    def correct(self, x, y):
        return (answers(self.network, self.recipe, x) == y).sum()

    def reset(self):
        with torch.no_grad():
            for own, fresh in zip(self.network.state_dict().values(), network_of(self.recipe).state_dict().values()):
                own.copy_(fresh)
            for optimizer in self.optimizers:
                for state in optimizer.state.values():
                    for value in state.values():
                        value.zero_()
        self.order.copy_(order_of(self.recipe, self.images))

    def run(self):
        self.reset()
        torch.cuda.synchronize()
        begin = time.perf_counter()
        self.graph.replay()
        correct = self.result.item()
        return 100 * correct / self.test_images, time.perf_counter() - begin


def quick(images, test):
    network = torch_peer.quick().to(memory_format=torch.channels_last)
    optimizer, schedule = torch_peer.optimizer_of("quick", network, -(-len(images[0]) // 256))
    begin = time.perf_counter()
    torch_peer.train_epoch(network, optimizer, schedule, *images, 256)
    return 100 * torch_peer.accuracy(network, *test), time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=[*RECIPES, "quick"], default="sprint-lean")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--data", required=True)
    options = parser.parse_args()
    if options.device == "cuda" and options.model not in RECIPES:
        parser.error("on a GPU only the recipes of sprint")
    torch.set_num_threads(options.threads)
    recipe = RECIPES.get(options.model)
    sets = [torch_peer.load(options.data, split) for split in ("train", "t10k")]
    if recipe:
        cut = (28 - recipe["edge"]) // 2
        sets = [(x[:, :, cut:28 - cut, cut:28 - cut], y) for x, y in sets]
    captured = None
    if options.device == "cuda":
        captured = Captured(recipe, *([x.cuda() for x in part] for part in sets))
    runs = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        torch.manual_seed(seed)
        if captured:
            reached, seconds = captured.run()
        else:
            reached, seconds = train_and_test(recipe, *sets) if recipe else quick(*sets)
        runs.append({"seed": seed, "accuracy_percent": reached, "seconds": seconds})
    print(json.dumps({"seeds": runs, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
