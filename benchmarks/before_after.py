#!/usr/bin/env python3
"""Tests whether a change made the CPU engine slower: runs two revisions in turn over the rows of README's CPU tables.

    benchmarks/before_after.py BASE HEAD                          15 turns; a revision, `tree` or a program's path each
    benchmarks/before_after.py BASE tree --rows quick --turns 3   only rows whose name has the word; writes no record

Each turn runs both programs once, every second turn in the other order. The criterion is the ratio of HEAD's time to BASE's
in each turn: the exit code is 1 if its median exceeds 1.04 or the 95 % interval of that median lies above 1.02. The
interval goes from the k-th smallest to the k-th largest ratio, with the largest k for which P(X < k) <= 2.5 %, X being the
heads in as many coin throws (the sign test's interval, which assumes no distribution). With fewer than six turns it is the range.
"""
import argparse
import math
import os
import statistics
import subprocess
import sys

import cpu_bf16
import cpu_vs_torch
import record

HERE = os.path.dirname(os.path.abspath(__file__))
MOST_MEDIAN, MOST_LOW = 1.04, 1.02
SPRINT_SEEDS = 3


def rows():
    """Maps the name of a row to what it measures and the trainer's arguments."""
    found = {}
    for model in ("sprint-lean", "sprint"):
        found[f"{model}, training + test"] = ("sprint", ["sprint", "--model", model, "--seeds", str(SPRINT_SEEDS), "--no-process"])
        found[f"{model}, whole process"] = ("process", ["sprint", "--model", model, "--seeds", "1", "--no-process", "--quiet"])
    found["quick, one epoch, whole process"] = ("process", ["train", "--epochs", "1", "--precision", "fp32", "--quiet"])
    timed = ((("fp32",), cpu_vs_torch.CASES), (("fp32", "bf16"), cpu_bf16.CASES),
             (("bf16",), (("quick", 64, 60000), ("pytorch-example", 64, 12800))))
    for precisions, cases in timed:
        for model, batch, images in cases:
            for precision in precisions:
                found[f"{model}, batch {batch}, {precision}"] = ("epoch", [
                    "train", "--model", model, "--batch", str(batch), "--epochs", "1", "--limit-train", str(images),
                    "--precision", precision])
    return found


def seconds(program, kind, arguments, options):
    arguments = [*arguments, "--no-save", "--device", "cpu", "--threads", str(options.threads)]
    if kind == "process":
        return record.timed([program, *arguments])
    lines = record.trainer_json(program, *arguments)
    if kind == "epoch":
        return next(line for line in lines if line["event"] == "epoch")["seconds"]
    return lines[-1]["train_and_test_seconds"]["median"]


def interval(ratios):
    """The 95 % interval of the median ratio: its ends."""
    ordered, tail, k = sorted(ratios), 0.0, 0
    while (tail := tail + math.comb(len(ordered), k) / 2 ** len(ordered)) <= 0.025:
        k += 1
    k = max(k, 1)
    return ordered[k - 1], ordered[-k]


def measure(name, kind, arguments, options):
    times = {"base": [], "head": []}
    for turn in range(options.turns):
        for side in (("base", "head"), ("head", "base"))[turn % 2]:
            times[side].append(seconds(options.programs[side], kind, arguments, options))
    ratios = [after / before for before, after in zip(times["base"], times["head"])]
    low, high = interval(ratios)
    row = {"name": name, "base_seconds": record.spread(times["base"]), "head_seconds": record.spread(times["head"]),
           "ratio": statistics.median(ratios), "interval": [low, high], "ratios": ratios}
    row["holds"] = row["ratio"] <= MOST_MEDIAN and low <= MOST_LOW
    print(f"{name:36} {row['base_seconds']['median']:8.3f} s {row['head_seconds']['median']:8.3f} s  {row['ratio']:.3f} "
          f"({low:.3f} to {high:.3f})  {'holds' if row['holds'] else 'SLOWER'}", flush=True)
    return row


def program_of(revision):
    """Returns a program's path unchanged; builds a revision and returns its program's path."""
    if os.path.isfile(revision):
        return os.path.abspath(revision)
    built = subprocess.run([os.path.join(HERE, "..", "scripts", "build_revision.sh"), "cpu", revision], stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit(built.returncode)
    return built.stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", metavar="BASE")
    parser.add_argument("head", metavar="HEAD")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--rows", action="append", metavar="WORD", help="only rows with this in their name; may be repeated")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", help="where the record goes [benchmarks/records; nowhere where only some rows were run]")
    options = parser.parse_args()
    if options.turns < 1:
        parser.error(f"--turns {options.turns}: at least one")
    chosen = {name: row for name, row in rows().items() if not options.rows or any(word in name for word in options.rows)}
    if not chosen:
        parser.error(f"--rows {' '.join(options.rows)}: no such row; there are: " + "; ".join(rows()))
    options.programs = {"base": program_of(options.base), "head": program_of(options.head)}
    result = record.describe(options.programs["head"])
    result["versions"]["trainer_before"] = subprocess.run([options.programs["base"], "--version"], stdout=subprocess.PIPE, text=True,
                                                          check=True).stdout.strip()
    result.update({"kind": "before_after", "threads": options.threads, "turns": options.turns, "most_median": MOST_MEDIAN,
                   "most_low": MOST_LOW})
    print(f"{'row':36} {'BASE':>10} {'HEAD':>10}  HEAD / BASE, 95 % interval")
    result["rows"] = [measure(name, kind, arguments, options) for name, (kind, arguments) in chosen.items()]
    if options.out or len(chosen) == len(rows()):
        record.write("before-after", result, options.out)
    slower = [row["name"] for row in result["rows"] if not row["holds"]]
    if slower:
        sys.exit(f"slower: {'; '.join(slower)}")


if __name__ == "__main__":
    main()
