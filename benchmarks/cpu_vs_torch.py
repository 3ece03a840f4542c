#!/usr/bin/env python3
"""Compares the trainer with PyTorch on the same CPU: same network, batch, images, threads, fp32, data in memory.

Both run in turn, epoch by epoch, each in its own process, so that other work on the machine affects both;
PyTorch uses the better of its two layouts (found first). It reports medians and the ratio of the medians. The time of a
whole process, from its start to the accuracy after one epoch of `quick`, is measured from outside.

    benchmarks/cpu_vs_torch.py --trainer build/cpu/trainer/trainer --python venv/bin/python
"""
import json
import os
import subprocess

import record

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = [("quick", 64, 60000), ("quick", 256, 60000), ("pytorch-example", 64, 12800), ("pytorch-example", 256, 12800),
         ("tf-sample", 64, 12800), ("tf-sample", 128, 12800), ("tf-sample", 256, 12800)]


def peer(options, model, batch, images, layout):
    done = subprocess.run([options.python, os.path.join(HERE, "torch_peer.py"), "--model", model, "--batch", str(batch),
                           "--images", str(images), "--threads", str(options.threads), "--layout", layout,
                           "--data", options.data], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def ours(options, model, batch, images):
    lines = record.trainer_json(options.trainer, "train", "--model", model, "--batch", str(batch), "--epochs", "1",
                                "--limit-train", str(images), "--threads", str(options.threads), "--no-save", "--precision", "fp32",
                                "--data", options.data)
    return next(line for line in lines if line["event"] == "epoch")["seconds"]


def measure_case(options, model, batch, images):
    trials = {layout: peer(options, model, batch, min(images, 12800), layout)["epoch_seconds"][0]
              for layout in ("nchw", "channels_last")}
    layout = min(trials, key=trials.get)
    mine, theirs = [], []
    for _ in range(options.repeats):
        mine.append(ours(options, model, batch, images))
        theirs.append(peer(options, model, batch, images, layout)["epoch_seconds"][0])
    sides = record.beside_torch(f"{model:16} batch {batch:3}, {images} images, PyTorch's {layout}", mine, theirs)
    return {"model": model, "batch": batch, "images": images, "torch_layout": layout, **sides}


def measure_process(options):
    mine, theirs = [], []
    for _ in range(options.repeats):
        mine.append(record.timed([options.trainer, "train", "--epochs", "1", "--no-save", "--precision", "fp32",
                           "--threads", str(options.threads), "--data", options.data]))
        theirs.append(record.timed([options.python, os.path.join(HERE, "torch_peer.py"), "--threads", str(options.threads),
                             "--data", options.data]))
    return {"what": "quick, one epoch of 60,000 at batch 256 and the test, from exec to exit; nothing saved",
            **record.beside_torch("whole process", mine, theirs)}


def main():
    options = record.options_beside_torch(__doc__)
    result = record.describe(options.trainer)
    result.update({"kind": "cpu_vs_torch", "threads": options.threads, "repeats": options.repeats})
    first = peer(options, "quick", 256, 12800, "channels_last")
    result["versions"]["torch"] = first["torch"]
    result["process"] = measure_process(options)
    result["cases"] = [measure_case(options, *case) for case in CASES]
    record.write("cpu-vs-torch", result)


if __name__ == "__main__":
    main()
