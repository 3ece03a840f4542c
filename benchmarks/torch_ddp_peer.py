#!/usr/bin/env python3
"""The peer of ranks.py: PyTorch's DistributedDataParallel over gloo, one rank of several; fp32, data already in memory.

RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and GLOO_SOCKET_IFNAME are in the environment, as torchrun sets them. Rank 0 prints one
JSON value: for each network the seconds of an all-reduce of its whole gradient, as DDP makes it, and of a step.
"""
import argparse
import json
import time

import torch
import torch.distributed as dist
from torch import nn

import torch_peer

MODELS = {"quick": 256, "tf-sample": 128}  # and the batch of all ranks together


def timed(action, seconds):
    """Seconds of one `action`: as many in a row as rank 0 takes for `seconds`, at least 3; of the slowest rank."""
    def run(count):
        dist.barrier()
        begin = time.perf_counter()
        for _ in range(count):
            action()
        value = torch.tensor([(time.perf_counter() - begin) / count], dtype=torch.float64)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return value.item()
    run(1)
    count = max(3, int(seconds / run(1)))
    return [run(count) for _ in range(3)]


def measure(model, options, x, y):
    torch.manual_seed(1)
    network = torch_peer.NETWORKS[model]()
    gradient = torch.zeros(sum(p.numel() for p in network.parameters()))

    def exchange():
        dist.all_reduce(gradient)
        gradient.div_(dist.get_world_size())

    parallel = nn.parallel.DistributedDataParallel(network) if dist.get_world_size() > 1 else network
    optimizer, _ = torch_peer.optimizer_of(model, network, 1 << 20)
    rows = MODELS[model] // dist.get_world_size()
    generator = torch.Generator().manual_seed(dist.get_rank())

    def step():
        chosen = torch.randint(len(x), (rows,), generator=generator)
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(parallel(x[chosen]), y[chosen]).backward()
        optimizer.step()

    return {"bytes": 4 * gradient.numel(), "exchange_seconds": timed(exchange, options.seconds), "step_seconds": timed(step, options.seconds)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--data", required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dist.init_process_group("gloo")
    x, y = torch_peer.load(options.data, "t10k")
    x = x.contiguous(memory_format=torch.channels_last)
    result = {model: measure(model, options, x, y) for model in MODELS}
    if dist.get_rank() == 0:
        print(json.dumps({"torch": torch.__version__, "models": result}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
