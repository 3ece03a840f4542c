#!/usr/bin/env python3
"""Measures `trainer runs list`, and `compare` of 100 of them, with many runs: copies of real, short trainings, whole folders
except for the weights, which neither reads.

    benchmarks/runs_list.py --trainer build/cpu/trainer/trainer --runs 1000
"""
import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time

import record

LISTINGS = {
    "table": [],
    "table, sorted": ["--sort", "-accuracy"],
    "table, filtered": ["--where", "accuracy > 0.9 && device =~ 'cpu' && model != 'lenet'"],
    "json": ["--json"],
    "csv": ["--csv"],
}


def train(trainer, folder, seeds, epochs):
    """Makes real runs in `folder` and returns their paths."""
    paths = []
    for seed in range(1, seeds + 1):
        path = os.path.join(folder, f"real-{seed}")
        subprocess.run([trainer, "train", "--quiet", "--limit-train", "3000", "--epochs", str(epochs), "--seed", str(seed),
                        "--out", path], check=True)
        paths.append(path)
    return paths


def multiply(paths, runs_folder, count):
    """Makes `count` runs with names like the trainer's, started a minute apart, and returns their total bytes."""
    size = 0
    for number in range(count):
        source = paths[number % len(paths)]
        day, minute = divmod(number, 24 * 60)
        started = f"{number // 60 % 24:02}:{minute % 60:02}:00"
        with open(os.path.join(source, "run.json"), encoding="utf-8") as file:
            run = json.load(file)
        run["times"]["started"] = f"2026-01-{day + 1:02}T{started}+00:00"
        run["seed"] = number
        name = f"202601{day + 1:02}-{started.replace(':', '')}-{run['model']}-{number}"
        folder = os.path.join(runs_folder, name)
        os.makedirs(folder)
        with open(os.path.join(folder, "run.json"), "w", encoding="utf-8") as file:
            json.dump(run, file, indent=2)
        shutil.copy(os.path.join(source, "metrics.jsonl"), folder)
        size += sum(os.path.getsize(os.path.join(folder, name)) for name in ("run.json", "metrics.jsonl"))
    return size


def seconds_of(command, environment, repeats):
    """Wall-clock seconds of each of `repeats` runs of a command, after one uncounted run."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default="build/cpu/trainer/trainer")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=10, help="of each run")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()

    result = record.describe(options.trainer)
    with tempfile.TemporaryDirectory() as folder:
        paths = train(options.trainer, folder, 4, options.epochs)
        runs_folder = os.path.join(folder, "runs")
        size = multiply(paths, runs_folder, options.runs)
        environment = dict(os.environ, TRAINER_RUNS=runs_folder)
        command = [options.trainer, "runs", "list"]
        listed = subprocess.run([*command, "--csv"], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        assert listed.stdout.count("\n") == options.runs + 1, "not every run is listed"
        empty = dict(os.environ, TRAINER_RUNS=os.path.join(folder, "none"))
        seconds = {"table of no runs": record.spread(seconds_of(command, empty, options.repeats))}
        for name, arguments in LISTINGS.items():
            seconds[name] = record.spread(seconds_of([*command, *arguments], environment, options.repeats))
        compared = sorted(os.listdir(runs_folder))[::max(1, options.runs // 100)][:100]
        command = [options.trainer, "runs", "compare", *compared]
        seconds[f"compare, {len(compared)} runs"] = record.spread(seconds_of(command, environment, options.repeats))
    for name, spread in seconds.items():
        print(f"{name:<18} median {1000 * spread['median']:7.1f} ms  {1000 * spread['min']:.1f} to {1000 * spread['max']:.1f}")
    result.update({"kind": "runs list", "runs": options.runs, "epochs_of_a_run": options.epochs, "bytes": size,
                   "repeats": options.repeats, "seconds": seconds, "load_before": os.getloadavg()[0]})
    record.write(f"runs-list-{options.runs}", result)


if __name__ == "__main__":
    main()
