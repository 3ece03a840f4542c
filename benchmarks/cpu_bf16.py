#!/usr/bin/env python3
"""Compares the CPU engine in bf16 with fp32: epoch times in turn, one seed per turn, and the accuracy after each epoch.

    benchmarks/cpu_bf16.py --trainer build/cpu/trainer/trainer
    benchmarks/cpu_bf16.py --model pytorch-example --batch 128      (a part: shown, no record written)

It reports medians and the ratio of the medians; `ratios` are those of neighbouring runs, which show how much the
machine's other work matters.
"""
import argparse
import os

import record

CASES = [("pytorch-example", 128, 12800), ("pytorch-example", 256, 12800), ("tf-sample", 128, 12800),
         ("tf-sample", 256, 12800), ("quick", 256, 60000)]


def epoch(options, model, batch, images, precision, seed):
    lines = record.trainer_json(options.trainer, "train", "--model", model, "--batch", str(batch), "--epochs", "1",
                                "--limit-train", str(images), "--threads", str(options.threads), "--no-save",
                                "--precision", precision, "--seed", str(seed))
    last = next(line for line in lines if line["event"] == "epoch")
    return last["seconds"], 100 * last["test_accuracy"]


def measure(options, model, batch, images):
    runs = {"fp32": [], "bf16": []}
    for seed in range(1, options.repeats + 1):
        for precision, of in runs.items():
            of.append(epoch(options, model, batch, images, precision, seed))
    case = {"model": model, "batch": batch, "images": images}
    for precision, of in runs.items():
        case[f"{precision}_seconds"] = record.spread([seconds for seconds, _ in of])
        case[f"{precision}_accuracy_percent"] = record.percent_over_seeds([accuracy for _, accuracy in of])
    case["ratio"] = case["fp32_seconds"]["median"] / case["bf16_seconds"]["median"]
    case["ratios"] = [a[0] / b[0] for a, b in zip(runs["fp32"], runs["bf16"])]
    print(f"{model:16} batch {batch:3}, {images} images: fp32 {case['fp32_seconds']['median']:.3f} s, bf16 "
          f"{case['bf16_seconds']['median']:.3f} s, {case['ratio']:.2f} times faster (neighbours "
          f"{min(case['ratios']):.2f} to {max(case['ratios']):.2f}); accuracy "
          f"{case['fp32_accuracy_percent']['mean']:.2f} and {case['bf16_accuracy_percent']['mean']:.2f} %", flush=True)
    return case


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default="build/cpu/trainer/trainer")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--model", choices=sorted({model for model, _, _ in CASES}))
    parser.add_argument("--batch", type=int, choices=sorted({batch for _, batch, _ in CASES}))
    options = parser.parse_args()
    cases = [case for case in CASES if options.model in (None, case[0]) and options.batch in (None, case[1])]
    if not cases:
        parser.error(f"{options.model} is not measured at batch {options.batch}; the cases are "
                     + ", ".join(f"{model} {batch}" for model, batch, _ in CASES))
    result = record.describe(options.trainer)
    result.update({"kind": "cpu_bf16", "threads": options.threads, "repeats": options.repeats})
    result["cases"] = [measure(options, *case) for case in cases]
    if cases != CASES:
        return
    record.write("cpu-bf16", result)


if __name__ == "__main__":
    main()
