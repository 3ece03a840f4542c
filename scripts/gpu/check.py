#!/usr/bin/env python3
"""Runs the stages of gpu_check in order, prints their progress, and ends with a table, what to look at next, and one record.
Called by gpu_check.sh.

A stage that passed is not run again on the same build: WORK/stages/STAGE.json holds its outcome under a key, a hash of
the programs, of the stage's scripts and of the GPU. Exit code: 0 if nothing failed, 1 if something did, 2 for wrong
usage.
"""
import argparse
import json
import os
import select
import subprocess
import sys
import tempfile
import time

import bits
import first_contact
import kernels
import ranks
import sanitizer
import sprint
import stages
from machine import OUTPUT, Machine, Outcome, OutOfTime, digest, last_line, say, write_json
from processes import die_with_parent, end_descendants, end_on_signals, supervise
from results import CUT, Results, now

HERE = os.path.dirname(os.path.abspath(__file__))

# Name: (function, maximum seconds, scripts besides machine.py), in the order of a first contact.
STAGES = {
    "prove": (stages.prove, 15, ["stages.py"]),
    "report": (stages.report, 15, ["stages.py"]),
    "first_contact": (first_contact.first_contact, 25, ["first_contact.py", "first_contact.cu", "first_contact_kernels.cuh"]),
    "conformance": (stages.conformance, 90, ["stages.py"]),
    "nodes": (stages.nodes, 30, ["stages.py"]),
    "replay": (stages.replay, 20, ["stages.py"]),
    "sprint": (sprint.sprint, 60, ["sprint.py", "../../benchmarks/torch_sprint_peer.py"]),
    "bits": (bits.bits, 60, ["bits.py"]),
    "kernels": (kernels.kernels, 60, ["kernels.py", "../../benchmarks/gpu_model.py"]),
    "sanitizer": (sanitizer.sanitizer, 110, ["sanitizer.py", "planted_fault.cu"]),
    "accuracy": (stages.accuracy, 120, ["stages.py"]),
    "ranks": (ranks.ranks, 40, ["ranks.py"]),
    "precisions": (stages.precisions, 560, ["stages.py"]),
    "benchmark": (stages.benchmark, 215, ["stages.py", *(f"../../benchmarks/{name}.py" for name in (
        "gpu_vs_torch", "gpu_sides", "nvml", "peer", "torch_gpu_peer", "jax_gpu_peer"))]),
}
DEFAULT = [name for name in STAGES if name != "precisions"]

# Seconds of the whole plan, and of each stage; the time that a stage does not use goes to the next ones.
PLANS = {
    "first": (270, {"prove": 10, "report": 15, "first_contact": 20, "conformance": 60, "nodes": 25, "replay": 15, "sprint": 20, "bits": 30,
                    "kernels": 35, "sanitizer": 28}),
    "second": (400, {"report": 10, "accuracy": 110, "sprint": 60, "ranks": 20, "benchmark": 185}),
}
END_SECONDS = 5     # of a plan's time, to end what still runs
START_SECONDS = 60  # for the first device report, before any stage
HOLD_SECONDS = 15   # for a context on the device


def chosen_stages(text):
    """The named stages, in the order of STAGES."""
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in STAGES]
    if unknown or not names:
        say(f"error: --stages {text}: of {', '.join(STAGES)}, with commas between")
        sys.exit(2)
    return [name for name in STAGES if name in names]


def ask_device(machine):
    """(the device report as data, None), or (None, why there is none)."""
    machine.deadline = time.monotonic() + START_SECONDS
    try:
        ran = machine.run([machine.trainer, "devices", "--json"])
        begin = ran.output.index("{")
        device = json.JSONDecoder().raw_decode(ran.output[begin:])[0]
        machine.starts["alone"] = round(ran.seconds, 3)
    except OutOfTime as late:
        return None, str(late)
    except ValueError:
        return None, f"`trainer devices --json` ended with {ran.code}: {last_line(ran.output)}"
    gpu = device.get("gpu") or {}
    return (device, None) if gpu.get("used") else (None, gpu.get("reason") or "trainer devices names no reason")


def hold(machine):
    """A process that holds a context on the device, so that the driver stays awake; it ends with this one."""
    holder = subprocess.Popen([sys.executable, os.path.join(HERE, "hold.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, start_new_session=True, preexec_fn=die_with_parent,
                              env=machine.own_environment())
    machine.holder = holder  # keeps its input open
    machine.spared.add(holder.pid)
    ready = select.select([holder.stdout], [], [], HOLD_SECONDS)[0]
    answer = holder.stdout.readline().strip() if ready else f"no answer within {HOLD_SECONDS} s"
    if answer == "holding":
        machine.starts["held_awake"] = True
        say(f"process {holder.pid} holds a context on the device until the check ends")
    else:
        say(f"note: no process holds the device awake, so each pays for waking it: {answer}")


def key_of(machine, name, device):
    programs = [machine.trainer] + [machine.test_program(test) for test in (*dict(stages.TESTS), bits.PROGRAM)]
    programs += [os.path.join(machine.root, "bin", program) for program in ("first_contact", "planted_fault")]
    scripts = [os.path.join(HERE, script) for script in ["machine.py", *STAGES[name][2]]]
    gpu = device["gpu"]
    software = device.get("gpu_software") or {}
    return digest(programs + scripts + [bits.twin(machine) or "twin"], gpu.get("name", ""), gpu.get("uuid") or "",
                  software.get("driver") or "", machine.libraries, machine.plan)


def read_result(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def run_stage(machine, name, device):
    """Runs a stage until machine.deadline at most. If it fails, its details so far are kept."""
    begin, machine.details = time.monotonic(), {}
    say(f"\n==== {name} (at most {machine.remaining():.0f} s)")
    try:
        outcome = STAGES[name][0](machine, device)
    except OutOfTime as late:
        outcome = Outcome("failed", str(late), dict(machine.details, output=late.output))
    except (OSError, KeyError, TypeError, ValueError) as error:
        outcome = Outcome("failed", f"{type(error).__name__}: {error}", machine.details)
    took = time.monotonic() - begin
    say(f"==== {name}: {outcome.status} after {took:.1f} s: {outcome.text}")
    return {"status": outcome.status, "text": outcome.text, "seconds": round(took, 2), "date": now(), "details": outcome.details}


def stage_result(machine, name, device, again):
    path = os.path.join(machine.work, "stages", f"{name}.json")
    key = key_of(machine, name, device)
    before = read_result(path)
    if before.get("key") == key and before.get("status") == "passed" and not again:
        say(f"\n==== {name}: passed before on this build and GPU, {before['date']}: {before['text']}")
        return dict(before, again=False)
    result = dict(run_stage(machine, name, device), key=key, again=True)
    write_json(path, result)
    return result


def deadlines(machine, names, patience, begin):
    """Yields each stage with its deadline set."""
    total, shares = PLANS.get(machine.plan, (0, {}))
    given = 0
    for name in names:
        if machine.plan:
            given += shares[name]
            machine.deadline = begin + min(given, total - END_SECONDS - 3)
        else:
            machine.deadline = time.monotonic() + STAGES[name][1] * patience
        yield name


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("root", "trainer", "tests", "work", "out", "records"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--libraries", default="")
    parser.add_argument("--stages")
    parser.add_argument("--plan", choices=list(PLANS), default="")
    parser.add_argument("--patience", type=float)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--command", default="gpu_check.sh")
    options = parser.parse_args()
    options.names = list(PLANS[options.plan][1]) if options.plan else DEFAULT
    if options.plan and (options.stages or options.patience):
        say(f"error: --{options.plan} has its own stages and limits: neither --stages nor --patience goes with it")
        sys.exit(2)
    if options.stages is not None:
        options.names = chosen_stages(options.stages)
    options.patience = 1 if options.patience is None else options.patience
    if not 0 < options.patience <= 100:
        say(f"error: --patience {options.patience}: a factor of the time limits, up to 100")
        sys.exit(2)
    return options


def work_folder(wanted):
    """The folder, or a temporary one if it cannot be written."""
    try:
        os.makedirs(wanted, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError as error:
        folder = tempfile.mkdtemp(prefix="gpu_check_")
        say(f"note: {wanted} cannot be written ({error.strerror}); working in {folder}")
        return folder


def check(options, begin):
    """The exit code."""
    prefix = options.plan or "gpu_check"
    work = work_folder(options.work)
    OUTPUT.open_log(os.path.join(options.out, f"{prefix}.log"))
    machine = Machine(options.root, options.trainer, options.tests, options.libraries, work,
                      os.environ.get("GPU_CHECK_PYTHON") or sys.executable, options.plan)
    device, reason = ask_device(machine)
    if reason:
        say(f"error: no GPU can be used, so nothing was checked: {reason}")
        return 1
    results = Results(machine, device, options, prefix)
    hold(machine)
    for name in deadlines(machine, options.names, options.patience, begin):
        results.begin(name)
        try:
            result = stage_result(machine, name, device, options.again)
        except SystemExit:  # by a signal
            results.take(name, dict(CUT, details=machine.details))
            raise
        results.take(name, result)
    results.say_summary()
    failed = results.with_status("failed") + [f"not written: {path}" for path in OUTPUT.unwritten]
    say(f"\nrecord: {os.path.relpath(results.path)}")
    say(f"gpu_check: {'FAILED: ' + ', '.join(failed) if failed else 'nothing failed'}")
    return 1 if failed else 0


def main():
    begin = time.monotonic()
    options = parse()
    supervise(PLANS[options.plan][0] - END_SECONDS if options.plan else 0)
    end_on_signals()
    try:
        sys.exit(check(options, begin))
    finally:
        end_descendants()


if __name__ == "__main__":
    main()
