#!/usr/bin/env python3
"""Measures a network's accuracy over seeds: final weights, every test image, no seed left out.

    benchmarks/accuracy.py --trainer build/cpu/trainer/trainer --model quick --epochs 1 --seeds 30

With --runs FOLDER the trained networks stay in FOLDER/seed-N and are tested as a committee too; those that have ended there
are not trained again, so that several processes can share the seeds out and the last call writes the record.
"""
import argparse
import json
import os

import record


def trained(options, seed, extra):
    """What the training of a seed says at its end."""
    words = ["train", "--model", options.model, "--seed", str(seed), "--precision", options.precision, *extra]
    if not options.runs:
        return record.trainer_json(options.trainer, *words, "--no-save")[-1]
    folder = os.path.join(options.runs, f"seed-{seed}")
    path = os.path.join(folder, "run.json")

    def ended():
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            run = json.load(file)
        return run["results"] if run["status"] == "finished" else None

    if not ended():
        record.trainer_json(options.trainer, *words, "--out", folder)
    return ended()


def committee(options, seeds):
    """The accuracy in percent of the networks of all seeds as one."""
    folders = [os.path.join(options.runs, f"seed-{seed}") for seed in seeds]
    return 100 * json.loads(record.said(options.trainer, "committee", *folders, "--json"))["accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default="build/cpu/trainer/trainer")
    parser.add_argument("--model", default="quick")
    parser.add_argument("--epochs", type=int, help="the recipe's if not given")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--data", help="a folder with another data set [the shipped MNIST]")
    parser.add_argument("--threads", type=int, help="[the program's default]")
    parser.add_argument("--runs", metavar="FOLDER", help="keep the trained networks there")
    options = parser.parse_args()

    extra = ["--epochs", str(options.epochs)] if options.epochs else []
    extra += ["--data", options.data] if options.data else []
    extra += ["--threads", str(options.threads)] if options.threads else []
    runs = []
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    for seed in seeds:
        end = trained(options, seed, extra)
        runs.append({"seed": seed, "accuracy": end["test"]["accuracy"], "seconds": end["seconds"],
                     "epochs": end["epochs"], "first_images": end.get("test_first_images")})
        print(f"seed {seed}: {100 * runs[-1]['accuracy']:.2f} %  {end['seconds']:.2f} s", flush=True)

    values = [100 * run["accuracy"] for run in runs]
    percent = record.percent_over_seeds(values)
    result = record.describe(options.trainer)
    network = os.path.splitext(os.path.basename(options.model))[0]
    result.update({"kind": "accuracy", "model": network, "precision": options.precision,
                   "epochs": runs[0]["epochs"], "seeds": len(runs),
                   "accuracy_percent": percent,
                   "process_seconds": record.spread([run["seconds"] for run in runs]), "runs": runs})
    data = os.path.basename(os.path.normpath(options.data)) if options.data else None
    if data:
        result["data"] = data
    if options.runs:
        result["committee_percent"] = committee(options, seeds)
        print(f"all {len(seeds)} as one: {result['committee_percent']:.2f} %")
    print(f"{network}, {options.precision}: mean {percent['mean']:.3f} +- {percent['standard_error']:.3f} % "
          f"(standard error over {len(values)} seeds; deviation {percent['deviation_over_seeds']:.3f}), "
          f"{min(values):.2f} to {max(values):.2f}")
    name = "".join(f"-{word}" for word in (data, options.precision) if word and word != "fp32")
    record.write(f"accuracy-{network}-{runs[0]['epochs']}-epochs{name}", result)


if __name__ == "__main__":
    main()
