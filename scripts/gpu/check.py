#!/usr/bin/env python3
"""Runs the stages of gpu_check in order, prints as it goes, ends with a table and one record. Called by gpu_check.sh.

A stage that passed is not run again on the same build: WORK/stages/STAGE.json holds its outcome under a key, a hash of
the programs, of the stage's scripts and of the GPU. The record is written anew after each stage, so a run that is cut
off leaves what it had. Exit code: 0 where nothing failed, 1 where something did, 2 for wrong usage.
"""
import argparse
import datetime
import json
import os
import platform
import re
import sys
import time

import machine as machines
import sanitizer
import sprint
import stages
from machine import Machine, Outcome, OutOfTime, digest, last_line, say, write_json

HERE = os.path.dirname(os.path.abspath(__file__))

# Name: (function, seconds at most, scripts besides machine.py). Those run by default add up to nine minutes.
STAGES = {
    "report": (stages.report, 15, ["stages.py"]),
    "conformance": (stages.conformance, 60, ["stages.py"]),
    "replay": (stages.replay, 15, ["stages.py"]),
    "nodes": (stages.nodes, 25, ["stages.py"]),
    "sanitizer": (sanitizer.sanitizer, 75, ["sanitizer.py", "planted_fault.cu"]),
    "accuracy": (stages.accuracy, 80, ["stages.py"]),
    "sprint": (sprint.sprint, 55, ["sprint.py", "../../benchmarks/torch_sprint_peer.py"]),
    "precisions": (stages.precisions, 560, ["stages.py"]),
    "benchmark": (stages.benchmark, 215, ["stages.py", *(f"../../benchmarks/{name}.py" for name in (
        "gpu_vs_torch", "gpu_sides", "nvml", "peer", "torch_gpu_peer", "jax_gpu_peer"))]),
}
START_SECONDS = 60  # for the first device report, before any stage


def chosen_stages(text):
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
    except OutOfTime as late:
        return None, str(late)
    except ValueError:
        return None, f"`trainer devices --json` ended with {ran.code}: {last_line(ran.output)}"
    gpu = device.get("gpu") or {}
    return (device, None) if gpu.get("used") else (None, gpu.get("reason") or "trainer devices names no reason")


def key_of(machine, name, device):
    programs = [machine.trainer] + [machine.test_program(test) for test, _ in stages.TESTS]
    scripts = [os.path.join(HERE, script) for script in ["machine.py", *STAGES[name][2]]]
    gpu = device["gpu"]
    software = device.get("gpu_software") or {}
    return digest(programs + scripts, gpu.get("name", ""), gpu.get("uuid") or "", software.get("driver") or "",
                  machine.libraries)


def read_result(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def run_stage(machine, name, device, patience):
    function, seconds, _ = STAGES[name]
    begin = time.monotonic()
    machine.deadline = begin + seconds * patience
    say(f"\n==== {name} (at most {seconds * patience:.0f} s)")
    try:
        outcome = function(machine, device)
    except OutOfTime as late:
        outcome = Outcome("failed", str(late), {"output": late.output})
    except (OSError, KeyError, TypeError, ValueError) as error:
        outcome = Outcome("failed", f"{type(error).__name__}: {error}")
    took = time.monotonic() - begin
    say(f"==== {name}: {outcome.status} after {took:.1f} s: {outcome.text}")
    return {"status": outcome.status, "text": outcome.text, "seconds": round(took, 2),
            "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"), "details": outcome.details}


def stage_result(machine, name, device, options):
    path = os.path.join(machine.work, "stages", f"{name}.json")
    key = key_of(machine, name, device)
    before = read_result(path)
    if before.get("key") == key and before.get("status") == "passed" and not options.again:
        say(f"\n==== {name}: passed before on this build and GPU, {before['date']}: {before['text']}")
        return dict(before, again=False)
    result = dict(run_stage(machine, name, device, options.patience), key=key, again=True)
    write_json(path, result)
    return result


def word(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def new_record(machine, device, options):
    version = machine.run([machine.trainer, "--version"]).output.strip()
    found = re.search(r"\b[0-9a-f]{7,40}(-dirty)?\b", version)
    record = {"kind": "gpu_check", "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
              "command": options.command, "commit": found.group(0) if found else "unknown",
              "machine": {"cpu": device["cpu"]["model"], "cores": device["cpu"]["cores"], "gpu": device["gpu"]["name"],
                          "memory_bytes": device["cpu"]["memory_bytes"], "system": platform.platform()},
              "versions": {"trainer": version, "python": platform.python_version(),
                           "gpu_software": device.get("gpu_software")},
              "libraries": machine.libraries, "stages": {}}
    name = f"{record['date'][:10]}-{word(device['gpu']['name'])}-{word(record['commit'])}.json"
    return record, os.path.join(options.records, name)


def summary(record, names):
    say(f"\n{record['machine']['gpu']}, {record['versions']['trainer']}")
    for name in names:
        result = record["stages"].get(name, {"status": "not run", "seconds": 0, "text": ""})
        text = result["text"] if len(result["text"]) < 160 else result["text"][:157] + "..."
        say(f"  {name:12} {result['status'].upper() if result['status'] != 'passed' else 'passed':8} "
            f"{result['seconds']:7.1f} s{' ' if result.get('again', True) else '*'} {text}")
    if any(not record["stages"][name].get("again", True) for name in record["stages"]):
        say("  * passed before on this build and GPU, not run again (--again runs it)")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("root", "trainer", "tests", "work", "records"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--libraries", default="")
    parser.add_argument("--stages", default=",".join(name for name in STAGES if name != "precisions"))
    parser.add_argument("--patience", type=float, default=1)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--command", default="gpu_check.sh")
    return parser.parse_args()


def main():
    options = parse()
    names = chosen_stages(options.stages)
    if not 0 < options.patience <= 100:
        say(f"error: --patience {options.patience}: a factor of the time limits, up to 100")
        sys.exit(2)
    os.makedirs(options.work, exist_ok=True)
    machine = Machine(options.root, options.trainer, options.tests, options.libraries, options.work,
                      os.environ.get("GPU_CHECK_PYTHON") or sys.executable)
    device, reason = ask_device(machine)
    if reason:
        say(f"error: no GPU can be used, so nothing was checked: {reason}")
        sys.exit(1)
    record, path = new_record(machine, device, options)
    for name in names:
        record["stages"][name] = stage_result(machine, name, device, options)
        failed = [stage for stage, result in record["stages"].items() if result["status"] == "failed"]
        record["passed"] = not failed
        write_json(path, record)
    summary(record, names)
    say(f"record: {os.path.relpath(path)}")
    say(f"gpu_check: {'FAILED: ' + ', '.join(failed) if failed else 'nothing failed'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    machines.install_signals()
    main()
