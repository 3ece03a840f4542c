#!/usr/bin/env python3
"""Compares `trainer sprint` with PyTorch on the same CPU: the same recipes, threads and data, fp32, in turn.

It measures training + test of a warm program with the data in memory (without PyTorch's first seed of each process), the
whole process for one seed from exec to exit, and `quick` in PyTorch, which holds the published record. `sprint-lean-views` runs in turn
with `sprint-lean`, without PyTorch. The accuracy is that of all seeds of the trainer, none left out.

    benchmarks/sprint_vs_torch.py --trainer build/cpu/trainer/trainer --python venv/bin/python [--models sprint-lean sprint]
"""
import json
import os
import subprocess

import record

HERE = os.path.dirname(os.path.abspath(__file__))
# Network, its target in percent; seeds for the accuracy, and in a turn, ours and PyTorch's.
MODELS = (("sprint-lean", 99, 30, 6, 3), ("sprint", 99, 30, 6, 3), ("sprint-995", 99.5, 30, 3, 2))


def ours(options, model, seeds):
    return record.trainer_json(options.trainer, "sprint", "--model", model, "--seeds", str(seeds), "--no-save",
                               "--no-process", "--precision", "fp32", "--threads", str(options.threads),
                               "--data", options.data)[-1]


def peer_command(options, model, seeds):
    return [options.python, os.path.join(HERE, "torch_sprint_peer.py"), "--model", model, "--seeds", str(seeds),
            "--threads", str(options.threads), "--data", options.data]


def peer(options, model, seeds):
    done = subprocess.run(peer_command(options, model, seeds), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def measure(options, model, target, own_seeds, peer_seeds):
    mine, theirs, own_process, their_process = [], [], [], []
    for _ in range(options.repeats):
        mine.append(ours(options, model, own_seeds)["train_and_test_seconds"]["median"])
        warm = peer(options, model, peer_seeds)["seeds"][1:]
        theirs.append(sum(seed["seconds"] for seed in warm) / len(warm))
        if target > 99:
            continue  # so long that a process adds nothing
        own_process.append(record.timed([options.trainer, "sprint", "--model", model, "--seeds", "1", "--no-save",
                                  "--no-process", "--quiet", "--precision", "fp32", "--threads", str(options.threads),
                                  "--data", options.data]))
        their_process.append(record.timed(peer_command(options, model, 1)))
    case = {"model": model, "target_percent": target}
    for what, own, other in (("train_and_test", mine, theirs), ("process", own_process, their_process)):
        if own:
            case[what] = record.beside_torch(f"{model:12} {what:15}", own, other)
    return case


def accuracy(options, model, seeds):
    end = ours(options, model, seeds)
    print(f"{model:12} {seeds} seeds: {end['accuracy_percent']['mean']:.3f} +- {end['accuracy_percent']['standard_error']:.3f} %, "
          f"median {end['train_and_test_seconds']['median']:.3f} s", flush=True)
    return {"percent": end["accuracy_percent"], "seeds": len(end["seeds"]), "views": end["views"], "train_and_test_seconds": end["train_and_test_seconds"],
            "cold_seconds": end["cold_seconds"]}


def measure_views(options):
    """The fewer steps that views of uncertain test images allow, beside all steps without views."""
    turns = [[ours(options, model, 6)["train_and_test_seconds"]["median"] for model in ("sprint-lean-views", "sprint-lean")]
             for _ in range(options.repeats)]
    views, plain = ([turn[side] for turn in turns] for side in (0, 1))
    return {"accuracy": accuracy(options, "sprint-lean-views", 30), "seconds": record.spread(views), "plain_seconds": record.spread(plain),
            "ratio": record.spread([v / p for v, p in turns])}


def main():
    options = record.options_beside_torch(__doc__, models=[model for model, *_ in MODELS])
    models = [row for row in MODELS if row[0] in options.models]
    result = record.describe(options.trainer)
    result.update({"kind": "sprint_vs_torch", "threads": options.threads, "repeats": options.repeats})
    result["versions"]["torch"] = peer(options, "quick", 1)["torch"]
    result["accuracy"] = {model: accuracy(options, model, seeds) for model, _, seeds, *_ in models}
    result["cases"] = [measure(options, model, target, *turn) for model, target, _, *turn in models]
    if "sprint-lean" in options.models:
        result["views"] = measure_views(options)
        quick = [peer(options, "quick", 1)["seeds"][0]["seconds"] for _ in range(3)]
        best = result["cases"][0]["train_and_test"]["trainer_seconds"]["median"]
        result["quick_in_torch"] = {"seconds": record.spread(quick)}
        result["quick_in_torch"]["ratio"] = result["quick_in_torch"]["seconds"]["median"] / best
        print(f"quick in PyTorch {result['quick_in_torch']['seconds']['median']:.2f} s: sprint-lean is "
              f"{result['quick_in_torch']['ratio']:.1f} times faster", flush=True)
    else:
        result["model"] = " ".join(options.models)  # of a record beside that of all
    record.write("sprint-vs-torch", result)


if __name__ == "__main__":
    main()
