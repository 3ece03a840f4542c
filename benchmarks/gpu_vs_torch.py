#!/usr/bin/env python3
"""Compares the trainer with PyTorch and JAX on the same GPU: same network, batch, images, precision, data resident on it.

Each peer is a process that compiles, warms up and then waits; trainer and peers train one epoch in turn, so
that other work on the machine affects all. It reports medians of --repeats with minimum and maximum; a time budget
may end the turns earlier, and the record says how many there were. For each network it measures:
  epoch    seconds of training, no test (the trainer's last of three, since each of its processes starts cold)
  target   training and tests until 99 % or the end of the recipe (`quick`: one epoch, as published)
  memory   on the GPU, from NVML, including the context: for a peer what its end frees, since frameworks keep memory; for
           the trainer the maximum beyond what was in use before
  energy   per epoch, from NVML, of an interval of epochs with a test after each
and for `quick` the whole process from exec to exit, and the very first start (nothing cached).
A peer that fails to run is recorded with its message, and the others go on.

    benchmarks/gpu_vs_torch.py --trainer build/cuda/trainer/trainer [--models quick,lenet] [--engines torch-eager,jax]
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time

import nvml
import record
from gpu_sides import HERE, PEERS, Failed, Peer, Trainer, in_turn, timed

GOALS = {"torch-eager": 10, "torch-compile": 3, "torch-graph": 2}  # times faster, at the recipe's batch size
TARGET = 0.99
TARGET_EPOCHS = {"quick": 1}
STRETCH_SECONDS = 1.5  # of the energy interval: the counter changes about ten times a second


class NetworkCase:
    """All measurements on one network."""

    def __init__(self, options, trainer, gpu, model):
        self.options, self.trainer, self.gpu, self.model, self.deadline = options, trainer, gpu, model, 0
        self.peers = {}
        plan = trainer.plan(model)
        self.recipe = json.loads(plan)["recipe"]
        passes = self.recipe.get("epochs") or math.ceil(self.recipe["steps"] * self.recipe["batch"] / 60000)
        self.target_epochs = TARGET_EPOCHS.get(model, passes)
        self.folder = tempfile.TemporaryDirectory()
        self.plan = os.path.join(self.folder.name, "plan.json")
        with open(self.plan, "w", encoding="utf-8") as out:
            out.write(plan)
        self.result = {"model": model, "batch": self.recipe["batch"], "engines": {"trainer": {}}}

    def left(self):
        return self.deadline - time.monotonic()

    def start(self, engine):
        self.result["engines"][engine] = {}
        self.peers[engine] = Peer(self.options, engine, self.plan, self.target_epochs)

    def await_ready(self, engine, deadline):
        try:
            ready = self.peers[engine].reply(deadline - time.monotonic())
            self.result["engines"][engine].update({key: ready[key] for key in ready if key != "event"})
        except Failed as failure:
            self.fail(engine, f"{self.model}: {failure}")

    def prepare(self):
        """Starts every peer alone, so that none tunes its kernels while another runs."""
        for engine in self.options.engines:
            self.start(engine)
            self.await_ready(engine, time.monotonic() + self.options.prepare_seconds)

    def fail(self, engine, message):
        self.result["engines"][engine]["failed"] = message
        print(f"  {engine} FAILED: {message[:300]}", flush=True)
        if engine in self.peers:
            self.peers.pop(engine).end()

    def take(self, what, measured):
        """Puts the values of in_turn into the result; an engine that failed is excluded from then on."""
        values, errors = measured
        for engine, message in errors.items():
            self.fail(engine, f"{what}: {message}")
        for engine, found in values.items():
            if found:
                self.result["engines"][engine][what] = found
        return values

    def engines(self):
        ours = [] if "failed" in self.result["engines"]["trainer"] else ["trainer"]
        return ours + list(self.peers)

    def epoch(self, engine, _turn):
        if engine != "trainer":
            return self.peers[engine].ask(self.left() + 20, do="epoch")["seconds"]
        with nvml.MemoryWatch(self.gpu) as memory:
            found = self.trainer.epochs(self.model, 3, self.left() + 20)
        self.result["engines"]["trainer"]["memory_bytes"] = memory.bytes
        self.result["engines"]["trainer"]["images"] = found[-1]["images"]
        return found[-1]["seconds"]

    def target(self, engine, turn):
        if engine != "trainer":
            return self.peers[engine].ask(self.left() + 20, do="target", accuracy=TARGET, epochs=self.target_epochs,
                                          seed=turn + 1)
        found = self.trainer.epochs(self.model, self.target_epochs, self.left() + 20, "--seed", str(turn + 1),
                                    "--target-accuracy", str(100 * TARGET))
        seconds = sum(event["seconds"] + event["evaluation_seconds"] for event in found)
        reached = found[-1]["test_accuracy"]
        return {"seconds": seconds, "epochs": len(found), "accuracy": reached, "reached": reached >= TARGET}

    def energy(self, engine, _turn):
        """Joules of one epoch and its test; the trainer's interval begins after its first epoch, since the peers are warm."""
        seconds = self.result["engines"][engine]["epoch"][0]
        count = max(2, min(400, math.ceil(STRETCH_SECONDS / max(seconds, 1e-4))))
        if engine != "trainer":
            before = self.gpu.joules()
            self.peers[engine].ask(self.left() + 20, do="stretch", epochs=count)
            return {"joules": (self.gpu.joules() - before) / count, "epochs": count}
        process = subprocess.Popen(self.trainer.command(self.model, "--epochs", str(count + 1)), text=True, bufsize=1,
                                   env=self.trainer.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        marks = [self.gpu.joules() for line in process.stdout if '"event":"epoch"' in line.replace(" ", "")]
        if process.wait() != 0 or len(marks) < 2:
            raise Failed(f"exit {process.returncode}, {len(marks)} epochs")
        return {"joules": (marks[-1] - marks[0]) / (len(marks) - 1), "epochs": len(marks) - 1}

    def measure(self, deadline):
        self.deadline = deadline
        print(f"{self.model}, batch {self.recipe['batch']}, {self.options.precision}", flush=True)
        count = self.options.repeats
        self.take("epoch", in_turn(count, time.monotonic() + self.left() * 0.5, self.engines(), self.epoch))
        if self.gpu.joules() is not None and self.options.device == "cuda":
            self.take("energy", in_turn(1, self.deadline, self.engines(), self.energy))
        if self.recipe["hold_out_first"] == 0 and self.left() > 5:  # else the target would test on other images than the peers
            self.take("target", in_turn(count, self.deadline, self.engines(), self.target))
        for engine in list(self.peers):
            self.result["engines"][engine]["memory_bytes"] = nvml.freed_by(self.gpu, self.peers.pop(engine).end)
        self.summarise()
        return self.result

    def summarise(self):
        ours = self.result["engines"]["trainer"]
        for engine, entry in self.result["engines"].items():
            for what in ("epoch", "target"):
                runs = entry.get(what) or []
                if runs:
                    entry[what + "_seconds"] = record.spread([run["seconds"] if what == "target" else run for run in runs])
            if "epoch_seconds" in entry and "epoch_seconds" in ours and engine != "trainer":
                entry["times_slower"] = entry["epoch_seconds"]["median"] / ours["epoch_seconds"]["median"]
            if "epoch_seconds" in entry:
                print(line_of(engine, entry), flush=True)

    def close(self):
        for peer in self.peers.values():
            peer.end()
        self.folder.cleanup()


def line_of(engine, entry):
    times = entry["epoch_seconds"]
    text = f"  {engine:14} epoch {1e3 * times['median']:9.2f} ms ({1e3 * times['min']:.2f} to {1e3 * times['max']:.2f}, "
    text += f"of {len(times['all'])})"
    if "times_slower" in entry:
        text += f"  {entry['times_slower']:6.2f} x trainer" + (f" (goal {GOALS[engine]})" if engine in GOALS else "")
    if "target_seconds" in entry:
        reached = sum(run["reached"] for run in entry["target"])
        text += f"  to 99 %: {1e3 * entry['target_seconds']['median']:.1f} ms, {reached} of {len(entry['target'])} reached it"
    if "energy" in entry:
        text += f"  {entry['energy'][0]['joules']:.2f} J"
    return text + (f"  {entry['memory_bytes'] / 2**20:.0f} MiB" if entry.get("memory_bytes") else "")


def measure_process(options, trainer, deadline):
    """`quick`, one epoch and its test, from exec to exit, trainer and PyTorch eager in turn."""
    ours = trainer.command("quick", "--epochs", "1")
    result = {"what": "quick, one epoch and the test, from exec to exit; nothing saved", "failed": {}}
    with tempfile.TemporaryDirectory() as folder:
        plan = os.path.join(folder, "plan.json")
        with open(plan, "w", encoding="utf-8") as out:
            out.write(trainer.plan("quick"))
        theirs = [options.python, os.path.join(HERE, "torch_gpu_peer.py"), "--plan", plan, "--data", options.data, "--device",
                  options.device, "--precision", options.precision, "--images", str(options.limit_train), "--once", str(TARGET)]
        cached = dict(trainer.environment, TRAINER_CACHE=os.path.join(folder, "cache"))  # empty, so far
        commands = {"trainer": (ours, cached), "torch-eager": (theirs, None)}

        def one(engine, _turn):
            return timed(commands[engine][0], deadline + 10 - time.monotonic(), commands[engine][1])

        first, result["failed"] = in_turn(1, deadline, ["trainer"], one)
        if first["trainer"]:
            result["first_start_seconds"] = first["trainer"][0]
            values, result["failed"] = in_turn(options.repeats, deadline, list(commands), one)
            result.update({engine: record.spread(found) for engine, found in values.items() if found})
    texts = [f"{engine} {result[engine]['median']:.3f} s" for engine in commands if engine in result]
    texts += [f"{engine} FAILED: {message[:300]}" for engine, message in result["failed"].items()]
    print(f"whole process, first start ever {result.get('first_start_seconds', math.nan):.3f} s, then: {'; '.join(texts)}",
          flush=True)
    return result


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default="build/cuda/trainer/trainer")
    parser.add_argument("--trainer-libraries", default="", help="LD_LIBRARY_PATH of the trainer alone")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with torch, jax and numpy")
    parser.add_argument("--data", default=os.path.join(HERE, "..", "data", "mnist"))
    parser.add_argument("--models", type=lambda text: text.split(","), default=["quick", "pytorch-example", "tf-sample"])
    parser.add_argument("--engines", type=lambda text: text.split(","), default=list(PEERS))
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16", "fp16"], help="of all [what the trainer chooses itself]")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3600, help="for everything; fewer turns where it is short")
    parser.add_argument("--prepare-seconds", type=float, default=120, help="of a peer: start, compile, warm up")
    parser.add_argument("--side-by-side", action="store_true", help="prepare all peers of all networks at once, which is "
                        "sooner ready, but takes memory, and tunes beside each other")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu tries the script itself")
    parser.add_argument("--limit-train", type=int, default=60000)
    parser.add_argument("--out", help="the record's file [one in benchmarks/records]")
    options = parser.parse_args()
    unknown = set(options.engines) - set(PEERS)
    if unknown:
        parser.error(f"--engines {','.join(sorted(unknown))}: of {', '.join(PEERS)}")
    return options


def summary(result):
    """One line: how many goals are met, and which engines failed."""
    met, set_goals, failed = 0, 0, []
    for case in result["cases"]:
        for engine, entry in case["engines"].items():
            failed += [f"{engine} on {case['model']}"] if "failed" in entry else []
            if engine in GOALS and "times_slower" in entry:
                set_goals += 1
                met += entry["times_slower"] >= GOALS[engine]
    failed += [f"{engine} as a whole process" for engine in result["process"]["failed"]]
    return f"{met} of {set_goals} goals against PyTorch met" + (f"; FAILED to run: {', '.join(failed)}" if failed else "")


def prepare_side_by_side(options, cases):
    deadline = time.monotonic() + options.prepare_seconds
    for case in cases:
        for engine in options.engines:
            case.start(engine)
    for case in cases:
        for engine in options.engines:
            case.await_ready(engine, deadline)


def main():
    options = parse()
    begin, gpu = time.monotonic(), nvml.Gpu()
    trainer = Trainer(options)
    options.precision = options.precision or trainer.own_precision()
    result = record.describe(options.trainer, trainer.environment)
    result.update({"kind": "gpu_vs_torch", "precision": options.precision, "repeats": options.repeats,
                   "prepared": "side by side" if options.side_by_side else "one by one", "cases": []})
    cases = [NetworkCase(options, trainer, gpu, model) for model in options.models]
    try:
        if options.side_by_side:
            prepare_side_by_side(options, cases)
        left = begin + options.seconds - time.monotonic()
        result["process"] = measure_process(options, trainer, time.monotonic() + left / (len(cases) + 1))
        for number, case in enumerate(cases):
            if not options.side_by_side:
                case.prepare()
            left = begin + options.seconds - time.monotonic()
            result["cases"].append(case.measure(time.monotonic() + left / (len(cases) - number)))
    finally:
        for case in cases:
            case.close()
    result["summary"] = summary(result)
    print(result["summary"], flush=True)
    record.write("gpu-vs-torch", result, options.out)
    sys.exit(any("failed" in case["engines"]["trainer"] for case in result["cases"]))


if __name__ == "__main__":
    main()
