#!/usr/bin/env python3
"""How the CPU engine uses its threads, beside PyTorch: on a quiet machine, beside busy programs, within a quota, with more threads
than cores. Everything is run in turn, so that other work on the machine affects all sides.

    benchmarks/threads.py --trainer build/cpu/trainer/trainer --python venv/bin/python [--repeats 5] [--before PROGRAM]

The ideal beside n busy programs is the quiet time times (cores + n) / cores: a fair scheduler gives two threads 4 / (2 + n) of two
cores. That within a quota of q cores is the quiet time times cores / q. A quota needs root and control groups.
"""
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import record

HERE = os.path.dirname(os.path.abspath(__file__))
# (network, batch or None for a sprint, images, precision)
CASES = [("sprint-lean", None, 0, "fp32"), ("quick", 64, 12800, "fp32"), ("quick", 256, 12800, "fp32"), ("quick", 256, 12800, "bf16")]
GROUPS = "/sys/fs/cgroup"


def name_of(case):
    model, batch, _, precision = case
    return f"{model}, {precision}" + (f", batch {batch}" if batch else "")


def ours(options, case, threads, bits="fast", program=None):
    """Seconds of training + test of a sprint, or of one epoch."""
    model, batch, images, precision = case
    program = program or options.trainer
    common = ["--no-save", "--precision", precision, "--bits", bits, "--threads", str(threads), "--data", options.data]
    if batch is None:
        end = record.trainer_json(program, "sprint", "--model", model, "--seeds", "4", "--no-process", *common)[-1]
        return end["train_and_test_seconds"]["median"]
    lines = record.trainer_json(program, "train", "--model", model, "--batch", str(batch), "--epochs", "1",
                                "--limit-train", str(images), *common)
    return next(line for line in lines if line["event"] == "epoch")["seconds"]


def theirs(options, case, threads):
    model, batch, images, precision = case
    script = "torch_sprint_peer.py" if batch is None else "torch_peer.py"
    words = ["--seeds", "2"] if batch is None else ["--batch", str(batch), "--images", str(images), "--layout", "channels_last"]
    words += ["--bf16"] if precision == "bf16" else []
    done = subprocess.run([options.python, os.path.join(HERE, script), "--model", model, "--threads", str(threads), "--data",
                           options.data, *words], stdout=subprocess.PIPE, text=True, check=True)
    said = json.loads(done.stdout)
    return said["seeds"][-1]["seconds"] if batch is None else said["epoch_seconds"][0]


@contextlib.contextmanager
def busy(count):
    """So many programs that compute, of normal priority."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    time.sleep(0.3)
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


@contextlib.contextmanager
def quota(cores):
    """This process and those that it starts have so many cores; yields False where that cannot be had."""
    unified = os.path.exists(f"{GROUPS}/cgroup.controllers")
    top = GROUPS if unified else f"{GROUPS}/cpu"
    group = f"{top}/trainer-threads-{os.getpid()}"
    entry = "cgroup.procs"
    try:
        os.mkdir(group)
        with open(f"{group}/{'cpu.max' if unified else 'cpu.cfs_quota_us'}", "w", encoding="ascii") as file:
            file.write(f"{int(cores * 100000)} 100000" if unified else str(int(cores * 100000)))
        with open(f"{group}/{entry}", "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    except OSError as error:
        print(f"skipped: no quota of CPU time can be set here: {error}")
        yield False
        return
    try:
        yield True
    finally:
        with open(f"{top}/{entry}", "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
        os.rmdir(group)


def in_turn(options, sides):
    """Seconds of each side, a function by its name, in turn."""
    times = {name: [] for name in sides}
    for _ in range(options.repeats):
        for name, side in sides.items():
            times[name].append(side())
    return {name: record.spread(values) for name, values in times.items()}


def say(what, sides):
    print(f"{what:40} " + "  ".join(f"{name} {value['median']:.3f}" for name, value in sides.items()), flush=True)
    return sides


def sides_of(options, case):
    sides = {"1 thread": lambda: ours(options, case, 1), "2 threads": lambda: ours(options, case, 2), "PyTorch": lambda: theirs(options, case, 2)}
    if options.before:
        sides["before, 2 threads"] = lambda: ours(options, case, 2, program=options.before)
    return sides


def measure_quiet(options):
    rows = []
    for case in CASES:
        sides = sides_of(options, case)
        rows.append({"what": name_of(case), "sides": say(name_of(case), in_turn(options, sides))})
    sprint = CASES[0]
    sides = {f"{n} thread{'s' if n > 1 else ''}": lambda n=n: ours(options, sprint, n, "portable") for n in (1, 2)}
    rows.append({"what": "sprint-lean, portable bits", "sides": say("sprint-lean, portable bits", in_turn(options, sides))})
    return rows


def measure_busy(options):
    rows = []
    for count in (1, 2):
        for case in (CASES[0], CASES[2]):
            with busy(count):
                what = f"{name_of(case)}, beside {count} busy"
                rows.append({"what": what, "case": name_of(case), "busy": count, "sides": say(what, in_turn(options, sides_of(options, case)))})
    return rows


def measure_quota(options):
    rows = []
    with quota(1.5) as there:
        if not there:
            return rows
    for case in (CASES[0], CASES[2]):
        def limited(c=case):
            with quota(1.5):
                return ours(options, c, 2)

        sides = {"2 threads": lambda c=case: ours(options, c, 2), "2 threads, 1.5 cores": limited}
        rows.append({"what": f"{name_of(case)}, a quota of 1.5 cores", "case": name_of(case),
                     "sides": say(f"{name_of(case)}, quota", in_turn(options, sides))})
    return rows


def measure_many(options):
    rows = []
    for case in (CASES[0], CASES[2]):
        sides = {f"{n} threads": lambda n=n, c=case: ours(options, c, n) for n in (2, 8)}
        rows.append({"what": name_of(case), "sides": say(f"{name_of(case)}, 8 threads", in_turn(options, sides))})
    return rows


def profile(options, program, threads):
    """Seconds of each op of a step of sprint-lean, each waited for, and those of a step that is launched as a whole."""
    with tempfile.TemporaryDirectory() as folder:
        lines = record.trainer_json(program, "train", "--model", "sprint-lean", "--precision", "fp32", "--threads", str(threads), "--no-save",
                                    "--data", options.data, "--profile", os.path.join(folder, "trace.json"))
    found = next(line for line in lines if line["event"] == "profile")
    parts = {f"{part['name']} {part['direction']}".strip(): part["seconds"] for part in found["parts"]}
    return {**parts, "all of them": sum(parts.values()), "a whole step": found["step_seconds"]}


def measure_step(options):
    programs = {"": options.trainer, **({"before, ": options.before} if options.before else {})}
    sides = {f"{when}{n} thread{'s' if n > 1 else ''}": (program, n) for when, program in programs.items() for n in (1, 2)}
    found = {name: [] for name in sides}
    for _ in range(options.repeats):
        for name, side in sides.items():
            found[name].append(profile(options, *side))
    return {name: {part: statistics.median(turn[part] for turn in turns) for part in turns[0]} for name, turns in found.items()}


PARTS = {"step": measure_step, "quiet": measure_quiet, "busy": measure_busy, "quota": measure_quota, "many": measure_many}


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = record.options_beside_torch(__doc__)
    result = record.describe(options.trainer)
    if options.before:
        result["before"] = record.describe(options.before)["versions"]
    result.update({"kind": "threads", "repeats": options.repeats, "load_before": os.getloadavg()})
    for name, measure in PARTS.items():
        result[name] = measure(options)
    record.write("threads", result)


if __name__ == "__main__":
    main()
