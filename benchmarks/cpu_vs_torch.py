#!/usr/bin/env python3
"""The trainer beside PyTorch on the same CPU: same network, batch, images, threads, fp32, data in memory.

Both run in turn, epoch by epoch, each in a process of its own, so that what else the machine does falls on both;
PyTorch in the better of its two layouts (found first). Quoted are medians and the ratio of the medians. Time a whole
process takes, from its start to the accuracy of one epoch of `quick`, is measured from outside.

    benchmarks/cpu_vs_torch.py --trainer build/cpu/trainer/trainer --python venv/bin/python
"""
import argparse
import json
import os
import subprocess
import time

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
    case = {"model": model, "batch": batch, "images": images, "torch_layout": layout,
            "trainer_seconds": record.spread(mine), "torch_seconds": record.spread(theirs)}
    case["ratio"] = case["torch_seconds"]["median"] / case["trainer_seconds"]["median"]
    print(f"{model:16} batch {batch:3}  {images} images: trainer {case['trainer_seconds']['median']:.3f} s, "
          f"PyTorch ({layout}) {case['torch_seconds']['median']:.3f} s, {case['ratio']:.2f} times faster", flush=True)
    return case


def timed(command):
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def measure_process(options):
    mine, theirs = [], []
    for _ in range(options.repeats):
        mine.append(timed([options.trainer, "train", "--epochs", "1", "--no-save", "--precision", "fp32",
                           "--threads", str(options.threads), "--data", options.data]))
        theirs.append(timed([options.python, os.path.join(HERE, "torch_peer.py"), "--threads", str(options.threads),
                             "--data", options.data]))
    process = {"what": "quick, one epoch of 60,000 at batch 256 and the test, from exec to exit; nothing saved",
               "trainer_seconds": record.spread(mine), "torch_seconds": record.spread(theirs)}
    process["ratio"] = process["torch_seconds"]["median"] / process["trainer_seconds"]["median"]
    print(f"whole process: trainer {process['trainer_seconds']['median']:.2f} s, "
          f"PyTorch {process['torch_seconds']['median']:.2f} s, {process['ratio']:.2f} times faster", flush=True)
    return process


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default="build/cpu/trainer/trainer")
    parser.add_argument("--python", default="python3", help="an interpreter with torch and numpy")
    parser.add_argument("--data", default=os.path.join(HERE, "..", "data", "mnist"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    result = record.describe(options.trainer)
    result.update({"kind": "cpu_vs_torch", "threads": options.threads, "repeats": options.repeats})
    first = peer(options, "quick", 256, 12800, "channels_last")
    result["versions"]["torch"] = first["torch"]
    result["process"] = measure_process(options)
    result["cases"] = [measure_case(options, *case) for case in CASES]
    record.write("cpu-vs-torch", result)


if __name__ == "__main__":
    main()
