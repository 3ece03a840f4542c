#!/usr/bin/env python3
"""What portable bits cost on a CPU: times `--bits portable` beside the fast engine, in turn, in one run.

    benchmarks/portable_speed.py [--trainer PROGRAM] [--repeats 7] [--threads 2]

`sprint-lean` is trained and tested whole, with each set of instructions; the other networks train some steps of their own batch.
Both engines compute in fp32. The program must be built with scripts/loops_by_name.h, which limits it to a set of instructions;
without --trainer scripts/build_revision.sh builds HEAD so. Writes a record under benchmarks/records/.
"""
import argparse
import os
import subprocess

import record

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LEVELS = {"AVX-512": {}, "AVX2": {"SAME_BITS_LOOPS": "v3", "ONEDNN_MAX_CPU_ISA": "AVX2"},
          "SSE4.1": {"SAME_BITS_LOOPS": "v2", "ONEDNN_MAX_CPU_ISA": "SSE41"}}
STEPS = {"quick": 200, "lenet": 200, "tf-sample": 40, "tf-convolutional": 40, "cntk-sample": 100, "cntk-convnet": 60, "pytorch-example": 40,
         "sprint": 0}


def program():
    return subprocess.run([os.path.join(ROOT, "scripts", "build_revision.sh"), "emulated", "HEAD",
                           f"-DCMAKE_CXX_FLAGS=-include {os.path.join(ROOT, 'scripts', 'loops_by_name.h')}"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def seconds(options, network, bits, level):
    """Of training + test of a network that counts steps, else of an epoch of some images."""
    environment = dict(os.environ, CUDA_VISIBLE_DEVICES="", **LEVELS[level])
    common = ["--model", network, "--bits", bits, "--precision", "fp32", "--threads", str(options.threads), "--device", "cpu", "--no-save"]
    if not STEPS.get(network):
        lines = record.trainer_json(options.trainer, "sprint", *common, "--seeds", "3", "--no-process", environment=environment)
        return lines[-1]["train_and_test_seconds"]["median"]
    images = STEPS[network] * 64
    lines = record.trainer_json(options.trainer, "train", *common, "--epochs", "1", "--limit-train", str(images), environment=environment)
    return next(line for line in lines if line["event"] == "epoch")["seconds"]


def measure(options, network, level):
    times = {"fast": [], "portable": []}
    for turn in range(options.repeats):
        for bits in sorted(times, reverse=turn % 2 == 1):
            times[bits].append(seconds(options, network, bits, level))
    ratios = [slow / fast for slow, fast in zip(times["portable"], times["fast"])]
    case = {"network": network, "instructions": level, "fast_seconds": record.spread(times["fast"]),
            "portable_seconds": record.spread(times["portable"]), "ratio": record.spread(ratios)}
    print(f"{network:18} {level:8} fast {case['fast_seconds']['median']:.3f} s, portable {case['portable_seconds']['median']:.3f} s, "
          f"{case['ratio']['median']:.2f} times ({case['ratio']['min']:.2f} to {case['ratio']['max']:.2f})", flush=True)
    return case


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", help="a program built with scripts/loops_by_name.h [HEAD's]")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    options.trainer = options.trainer or program()
    cases = [measure(options, "sprint-lean", level) for level in LEVELS]
    cases += [measure(options, network, "AVX-512") for network in STEPS]
    if not options.no_record:
        value = {"kind": "portable_speed", **record.describe(options.trainer), "repeats": options.repeats, "threads": options.threads, "cases": cases}
        record.write("portable-speed", value)


if __name__ == "__main__":
    main()
