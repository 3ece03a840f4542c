#!/usr/bin/env python3
"""Measures a network's accuracy over seeds: final weights, every test image, no seed left out.

    benchmarks/accuracy.py --trainer build/cpu/trainer/trainer --model quick --epochs 1 --seeds 30
"""
import argparse

import record


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default="build/cpu/trainer/trainer")
    parser.add_argument("--model", default="quick")
    parser.add_argument("--epochs", type=int, help="the recipe's if not given")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=1)
    options = parser.parse_args()

    extra = ["--epochs", str(options.epochs)] if options.epochs else []
    runs = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        end = record.trainer_json(options.trainer, "train", "--model", options.model, "--seed", str(seed),
                                  "--no-save", "--precision", options.precision, *extra)[-1]
        runs.append({"seed": seed, "accuracy": end["test"]["accuracy"], "seconds": end["seconds"],
                     "epochs": end["epochs"], "first_images": end.get("test_first_images")})
        print(f"seed {seed}: {100 * runs[-1]['accuracy']:.2f} %  {end['seconds']:.2f} s", flush=True)

    values = [100 * run["accuracy"] for run in runs]
    percent = record.percent_over_seeds(values)
    result = record.describe(options.trainer)
    result.update({"kind": "accuracy", "model": options.model, "precision": options.precision,
                   "epochs": runs[0]["epochs"], "seeds": len(runs),
                   "accuracy_percent": percent,
                   "process_seconds": record.spread([run["seconds"] for run in runs]), "runs": runs})
    print(f"{options.model}, {options.precision}: mean {percent['mean']:.3f} +- {percent['standard_error']:.3f} % "
          f"(standard error over {len(values)} seeds; deviation {percent['deviation_over_seeds']:.3f}), "
          f"{min(values):.2f} to {max(values):.2f}")
    name = "" if options.precision == "fp32" else f"-{options.precision}"
    record.write(f"accuracy-{options.model}-{runs[0]['epochs']}-epochs{name}", result)


if __name__ == "__main__":
    main()
