#!/usr/bin/env python3
"""The PyTorch peer of gpu_vs_torch.py, data resident on the device, in its three ways of running a step:
  eager    its kernels one by one, with the fused optimiser where it has one
  compile  loss and gradient through torch.compile(mode="max-autotune")
  graph    the whole step, gathering and optimiser too, in one captured CUDA graph
The layout is channels last, and cuDNN's own search is on. With compile and graph, the last batch is filled up with the
epoch's first images, since both need a fixed shape.
"""
import math

import numpy as np
import torch
from torch import nn

import peer

ENGINES = ["eager", "compile", "graph"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def module_of(layer):
    if layer["kind"] == "conv":
        return [nn.Conv2d(layer["in"][2], layer["channels"], layer["k"], padding=layer["k"] // 2 if layer["same"] else 0)]
    if layer["kind"] == "maxpool":
        return [nn.MaxPool2d(layer["size"], layer["stride"])]
    if layer["kind"] == "relu":
        return [nn.ReLU()]
    if layer["kind"] == "dropout":
        return [nn.Dropout(layer["drop"])]
    return [nn.Flatten(), nn.Linear(math.prod(layer["in"]), layer["channels"])]


def build(network):
    return nn.Sequential(*[module for layer in network.layers for module in module_of(layer)])


def parameter_groups(network, net):
    """One group for each of the recipe's pairs of rate factor and decay."""
    rule, factor = network.recipe["weight_decay"], network.recipe["bias_rate_factor"]
    groups = {}
    for module in net:
        if not isinstance(module, (nn.Conv2d, nn.Linear)):
            continue
        decays = rule["amount"] if rule["layers"] == "all" or isinstance(module, nn.Linear) else 0.0
        groups.setdefault((1.0, decays), []).append(module.weight)
        groups.setdefault((factor, decays if rule["biases"] else 0.0), []).append(module.bias)
    return [{"params": params, "factor": key[0], "weight_decay": key[1]} for key, params in groups.items()]


def make_optimizer(network, net, device, captured):
    groups, (name, values) = parameter_groups(network, net), network.optimizer()
    fused = {"fused": True} if device == "cuda" else {}
    if captured:  # one tensor per group, so that the graph reads its step's rate
        for group in groups:
            group["lr"] = torch.zeros((), device=device)
        fused["capturable"] = True
    if name in ("adam", "adamw"):
        kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        return kind(groups, lr=network.recipe["rate"], betas=(values["beta1"], values["beta2"]), eps=values["epsilon"], **fused)
    if name == "adadelta":
        fused.pop("fused", None)
        return torch.optim.Adadelta(groups, lr=network.recipe["rate"], rho=values["rho"], eps=values["epsilon"], **fused)
    fused.pop("capturable", None)
    momentum = values.get("momentum", 0.0)
    return torch.optim.SGD(groups, lr=network.recipe["rate"], momentum=momentum, nesterov=values.get("nesterov", False),
                           dampening=momentum if values.get("unit_gain") else 0.0, **fused)


class Engine:
    """train_epoch and accuracy return when the device has finished."""

    def __init__(self, network, options):
        self.network, self.options, self.device = network, options, options.device
        images, labels = peer.training_data(network, options)
        test_images, test_labels = peer.load(network, options.data, "test")
        self.x, self.y = self._resident(images, labels)
        self.test = [pair for pair in zip(*(part.split(1000) for part in self._resident(test_images, test_labels)))]
        self.net = build(network).to(self.device, memory_format=torch.channels_last)
        self.batch = network.batch
        whole = options.engine != "eager" or network.recipe["last_batch"] == "wrap"
        self.steps = len(self.x) // self.batch if network.recipe["last_batch"] == "drop" else -(-len(self.x) // self.batch)
        self.order_length = self.steps * self.batch if whole else min(len(self.x), self.steps * self.batch)
        self.optimizer = make_optimizer(network, self.net, self.device, options.engine == "graph")
        self.loss = self._loss
        if options.engine == "compile":
            self.loss = torch.compile(self._loss, mode="max-autotune")
        self.reset(1)
        self.prepare()

    def prepare(self):
        """Captures a graph; eager and compile need nothing more."""

    def _resident(self, images, labels):
        x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        return x.to(self.device), torch.from_numpy(labels.astype(np.int64)).to(self.device)

    def _loss(self, x, y):
        dtype = DTYPES.get(self.options.precision)
        with torch.autocast(self.device, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            return nn.functional.cross_entropy(self.net(x).float(), y)

    @torch.no_grad()
    def reset(self, seed):
        """Resets weights, optimiser and schedule in the same memory, where a captured graph reads them."""
        torch.manual_seed(seed)
        modules = [module for module in self.net if isinstance(module, (nn.Conv2d, nn.Linear))]
        for module, pair in zip(modules, self.network.starting_weights(seed)):
            module.weight.copy_(torch.from_numpy(pair[0]))
            module.bias.copy_(torch.from_numpy(pair[1]))
        for state in self.optimizer.state.values():
            for value in state.values():
                if torch.is_tensor(value):
                    value.zero_()
        self.rates = self.network.rates(self.options.epochs * self.steps, self.steps)
        self.step = 0
        self.wait()

    def wait(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def order(self):
        """Row numbers of an epoch, filled up to whole batches if the engine needs them."""
        rows = torch.randperm(len(self.x), device=self.device) if self.network.recipe["order"] == "shuffled" else \
            torch.arange(len(self.x), device=self.device)
        if len(rows) < self.order_length:
            rows = rows.repeat(-(-self.order_length // len(rows)))
        return rows[:self.order_length]

    def train_epoch(self):
        self.net.train()
        for rows in self.order().split(self.batch):
            rate = float(self.rates[self.step % len(self.rates)])
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            if self.options.engine == "compile":
                torch.compiler.cudagraph_mark_step_begin()
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(self.x[rows], self.y[rows]).backward()
            self.optimizer.step()
            self.step += 1
        self.wait()

    @torch.no_grad()
    def accuracy(self):
        self.net.eval()
        dtype = DTYPES.get(self.options.precision)
        with torch.autocast(self.device, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            correct = sum((self.net(x).argmax(1) == y).sum() for x, y in self.test)
        return correct.item() / sum(len(y) for _, y in self.test)


class GraphEngine(Engine):
    """The position in the epoch, the rates and their index are on the device, so a replay needs nothing from the host."""

    def prepare(self):
        if self.device != "cuda":
            raise RuntimeError("a CUDA graph needs a CUDA device")
        self.rows = self.order()
        self.columns = torch.arange(self.batch, device=self.device)
        self.position = torch.zeros((), dtype=torch.int64, device=self.device)
        self.count = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.table = torch.tensor(self.rates, dtype=torch.float32, device=self.device)
        self.net.train()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # so that optimiser state and plans exist before the capture
            for _ in range(3):
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        self.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self._step()
        self.reset(1)

    def _step(self):
        rate = self.table.index_select(0, self.count % len(self.table)).reshape(())
        for group in self.optimizer.param_groups:
            group["lr"].copy_(rate * group["factor"])
        rows = self.rows[self.position + self.columns]
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(self.x[rows], self.y[rows]).backward()
        self.optimizer.step()
        self.position += self.batch
        self.count += 1

    def reset(self, seed):
        super().reset(seed)
        if hasattr(self, "count"):
            self.count.zero_()

    def train_epoch(self):
        self.net.train()
        self.rows.copy_(self.order())
        self.position.zero_()
        for _ in range(self.steps):
            self.graph.replay()
        self.wait()


def main():
    options = peer.arguments(ENGINES)
    tf32 = options.precision != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    network = peer.Network(options.plan)
    kind = GraphEngine if options.engine == "graph" else Engine
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    peer.serve(lambda: kind(network, options), options, versions)


if __name__ == "__main__":
    main()
