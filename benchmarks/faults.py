#!/usr/bin/env python3
"""Flips single bits in trainings of the portable engine and counts which of them the digests find, and whether they name the step.

    benchmarks/faults.py --program build/emulated/tests/portable_faults --trainer build/emulated/trainer/trainer [--count 10000]

Each fault is a function of its seed (tests/faults/fault_trial.hpp): three tenths of them are in results of arithmetic, as many in values
that are read, the others in memory between two kernels, half of those on the emulated GPU. Writes a record under benchmarks/records/.
"""
import argparse
import json
import os
import subprocess

import record

TENTHS = {"arithmetic": 3, "load": 3, "store": 1, "memory": 1, "gpu_store": 1, "gpu_memory": 1}


def tally(kind, trials):
    found = [t for t in trials if t["found"]]
    return {"kind": kind, "first_seed": min(t["seed"] for t in trials), "trials": len(trials), "masked": len(trials) - len(found),
            "found": len(found), "ended_the_run": sum(t["end"] != "completed" for t in trials),
            "traced": sum(t["traced"] for t in trials), "came_back": sum(t["came_back"] for t in trials),
            "not_traced": [t for t in found if not t["traced"]], "which_came_back": [t for t in trials if t["came_back"]]}


def try_kind(program, kind, seed, count):
    """The network and the trials of a kind, in a process of their own."""
    environment = dict(os.environ, OMP_WAIT_POLICY="passive")
    done = subprocess.run([program, kind, str(seed), str(count)], stdout=subprocess.PIPE, text=True, check=True, env=environment)
    network, *trials = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(t["seed"] for t in trials) == list(range(seed, seed + count)), f"{kind}: not every fault was tried"
    assert all(t["where"] for t in trials if t["end"] == "completed"), f"{kind}: a fault was never put in"
    return network, trials


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/emulated/tests/portable_faults")
    parser.add_argument("--trainer", default="build/emulated/trainer/trainer")
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1, help="of the first fault")
    options = parser.parse_args()

    result = record.describe(options.trainer, dict(os.environ, CUDA_VISIBLE_DEVICES=""))
    rows, seed = [], options.seed
    for kind, tenths in TENTHS.items():
        network, trials = try_kind(options.program, kind, seed, max(1, options.count * tenths // 10))
        seed += len(trials)
        rows.append(tally(kind, trials))
        print(" ".join(f"{key} {rows[-1][key]}" for key in ("kind", "trials", "masked", "found", "ended_the_run", "traced", "came_back")),
              flush=True)
    result.update({"kind": "faults", **network, "batch": 16, "rows": rows})
    record.write("faults", result)


if __name__ == "__main__":
    main()
