#!/usr/bin/env python3
"""Several ranks on a CPU: exchanges of gradients with 32, 16 and 1 bit and steps of training, beside PyTorch's DistributedDataParallel.

    benchmarks/ranks.py --trainer build/cpu/trainer/trainer --python venv/bin/python      exchanges and steps (root: network namespaces)
    benchmarks/ranks.py --trainer build/cpu/trainer/trainer --accuracy                    what few bits do to the accuracy

1, 2 and 4 ranks on this machine by shared memory, and 2 on two machines that network namespaces play, with links of several speeds. The
trainer (Open MPI), PyTorch (gloo over TCP) and, between machines, plain sockets run in turn, one thread a rank. Writes a record.
"""
import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess

import network_link
import record

HERE = os.path.dirname(os.path.abspath(__file__))
YIELDING = ["--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"]  # ranks share cores
PLACES = [(1, 1, None), (1, 2, None), (1, 4, None), (2, 2, None), (2, 2, "1gbit"), (2, 2, "100mbit")]  # machines, ranks, link
NETWORKS = ("quick", "tf-sample")
SMALL = 30_000  # bytes of a plain socket's other message, about those of quick with 1 bit
ACCURACY = {"quick": 1, "cntk-sample": 3}  # epochs


def bench(options, launcher, ranks):
    """trainer bench --quick on several ranks, as its value."""
    words = [*launcher, *YIELDING, *options.mca, "-n", str(ranks), options.trainer, "bench", "--quick", "--json", "--device", "cpu", "--threads", "1"]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def torch_value(options, machines, ranks):
    """What torch_ddp_peer.py measures on the same ranks and link."""
    common = {"WORLD_SIZE": str(ranks), "MASTER_PORT": "29513", "MASTER_ADDR": network_link.ADDRESSES[0] if machines > 1 else "127.0.0.1",
              "GLOO_SOCKET_IFNAME": network_link.INTERFACE if machines > 1 else "lo"}
    words = [options.python, os.path.join(HERE, "torch_ddp_peer.py"), "--data", os.path.abspath(options.data)]
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(subprocess.Popen(network_link.on(rank, *words) if machines > 1 else words, stdout=subprocess.PIPE, text=True,
                                                        stderr=subprocess.DEVNULL, env=dict(os.environ, RANK=str(rank), **common)))
                   for rank in range(ranks)]
        said = [process.communicate()[0] for process in started]
    return json.loads(said[0])


def exchange_of(value, model, bits):
    return next(row for row in value["exchanges"] if row["gradient"] == model and row["bits"] == bits)


def training_of(value, model, bits):
    return next(row for row in value["scaling"] if row["model"] == model and row["bits"] == bits)


def over_turns(spreads):
    """The median of the turns' medians, the least and the most of all."""
    return {"median": statistics.median(s["median"] for s in spreads), "min": min(s["min"] for s in spreads), "max": max(s["max"] for s in spreads)}


def summary(ours, theirs):
    """A place's rows, over the turns: for each network, what each number of bits and PyTorch take."""
    rows = []
    for model in NETWORKS:
        for bits in (32, 16, 1):
            exchanges = [exchange_of(value, model, bits) for value in ours]
            trainings = [training_of(value, model, bits) for value in ours]
            rows.append({"model": model, "batch": trainings[0]["batch"], "bits": bits, "bytes": exchanges[0]["bytes"], "sent": exchanges[0]["sent"],
                         "exchange_seconds": over_turns([x["seconds"] for x in exchanges]),
                         "step_seconds": record.spread([t["batch"] / t["images_per_second"] for t in trainings]),
                         "efficiency": statistics.median(t["efficiency"] for t in trainings)})
        if theirs:
            measured = [value["models"][model] for value in theirs]
            rows.append({"model": model, "batch": rows[-1]["batch"], "torch": True, "bytes": measured[0]["bytes"],
                         **{key: over_turns([record.spread(m[key]) for m in measured]) for key in ("exchange_seconds", "step_seconds")}})
    return rows


def measure_place(options, machines, ranks, rate):
    here = ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe"]
    with network_link.two_machines(rate) if machines > 1 else contextlib.nullcontext(here) as launcher:
        ours, theirs, sockets = [], [], []
        for _ in range(options.repeats):
            ours.append(bench(options, launcher, ranks))
            if options.python:
                theirs.append(torch_value(options, machines, ranks))
            if machines > 1:
                sizes = [exchange_of(ours[0], model, 32)["bytes"] for model in NETWORKS] + [SMALL]
                sockets.append([record.spread(times) for times in network_link.socket_seconds(sizes, 3)])
    place = {"machines": machines, "ranks": ranks, "link": rate, "rows": summary(ours, theirs), "load": os.getloadavg()[0],
             "sizes": [row for row in ours[-1]["exchanges"] if not row["gradient"]]}
    if sockets:
        place["socket"] = [{"bytes": size, "seconds": over_turns(times)} for size, times in zip(sizes, zip(*sockets))]
    if theirs:
        place["torch"] = theirs[0]["torch"]
    report(place)
    return place


def report(place):
    print(f"{place['machines']} machine(s), {place['ranks']} rank(s), link {place['link'] or 'unlimited'}, load {place['load']:.1f}")
    for row in place["rows"]:
        print(f"  {row['model']:10} {'PyTorch' if row.get('torch') else str(row['bits']) + ' bits':8} exchange {1e3 * row['exchange_seconds']['median']:9.3f} ms (least {1e3 * row['exchange_seconds']['min']:9.3f}), "
              f"step {1e3 * row['step_seconds']['median']:9.2f} ms")
    for row in place.get("socket", []):
        print(f"  a socket, {row['bytes']:,} bytes: {1e3 * row['seconds']['median']:.3f} ms (least {1e3 * row['seconds']['min']:.3f})", flush=True)


def accuracy(options, model, bits, seed):
    words = ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", *YIELDING, "-n", "2", options.trainer, "train", "--model", model, "--epochs",
             str(ACCURACY[model]), "--seed", str(seed), "--gradient-bits", str(bits), "--threads", "1", "--device", "cpu", "--no-save", "--json"]
    words += ["--warm-start-images", str(options.warm_start_images)] if bits < 32 and options.warm_start_images else []
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return [line["test_accuracy"] for line in map(json.loads, done.stdout.splitlines()) if line.get("event") == "epoch"][-1] * 100


def measure_accuracy(options, model):
    percent = {bits: [] for bits in (32, 1)}
    for seed in range(1, options.seeds + 1):
        for bits, values in percent.items():
            values.append(accuracy(options, model, bits, seed))
        print(f"{model}, seed {seed}: {percent[32][-1]:.2f} % with 32 bits, {percent[1][-1]:.2f} % with 1", flush=True)
    case = {"model": model, "epochs": ACCURACY[model], "seeds": options.seeds, "difference": statistics.mean(percent[1]) - statistics.mean(percent[32]),
            "bits": [{"bits": bits, "percent": record.percent_over_seeds(values), "all": values} for bits, values in percent.items()]}
    print(f"{model}: {case['difference']:+.3f} points with 1 bit", flush=True)
    return {"kind": "ranks_accuracy", "ranks": 2, "warm_start_images": options.warm_start_images, **case}


def options_given():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default="build/cpu/trainer/trainer")
    parser.add_argument("--python", default="", help="an interpreter with torch and numpy [without PyTorch]")
    parser.add_argument("--data", default=os.path.join(HERE, "..", "data", "mnist"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--places", default=".*", help="measures only those whose words fit, as in '2 machines, 2 ranks, 100mbit'")
    parser.add_argument("--mca", nargs="*", default=[], help="further words for mpirun")
    parser.add_argument("--accuracy", action="store_true")
    parser.add_argument("--models", nargs="*", default=list(ACCURACY), help="of --accuracy")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--warm-start-images", type=int, default=0)
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    options.trainer = os.path.abspath(options.trainer)
    options.python = shutil.which(options.python) if options.python else ""
    return options


def main():
    options = options_given()
    value = record.describe(options.trainer, dict(os.environ, CUDA_VISIBLE_DEVICES=""))
    value["load_before"] = os.getloadavg()
    if options.accuracy:
        for model in options.models:
            value.update(measure_accuracy(options, model))
            if not options.no_record:
                record.write(f"ranks-accuracy-{model}", value)
    else:
        chosen = [place for place in PLACES if re.search(options.places, f"{place[0]} machines, {place[1]} ranks, {place[2] or 'unlimited'}")]
        value.update({"kind": "ranks", "repeats": options.repeats, "threads": 1, "places": [measure_place(options, *place) for place in chosen]})
        value["load_after"] = os.getloadavg()
        if not options.no_record:
            record.write("ranks", value)


if __name__ == "__main__":
    main()
