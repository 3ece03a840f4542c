"""The stage `bits` of gpu_check: the same seed gives the same bits, whatever the order in which a kernel's blocks run.

No tool finds a race between blocks, so many runs are compared, bit for bit: 200 seeds of each network of `trainer sprint`
in two processes, and each kernel of several blocks at full size (gpu_bits_test) without and with pseudo-random waits
before its barriers (the same program, built with TRAINER_JITTER=ON).
"""
import hashlib
import json
import os
import shutil

from machine import Outcome, OutOfTime, last_line, say

MODELS = ("sprint", "sprint-lean")
SEEDS = 200
PROGRAM = "gpu_bits_test"


def sprint_bits(machine, model, details):
    """({seed: its scores, "weights": a hash of the last seed's}, None) or (None, what is wrong)."""
    out = os.path.join(machine.work, "bits_run")
    shutil.rmtree(out, ignore_errors=True)
    ran = machine.run([machine.trainer, "sprint", "--device", "cuda", "--model", model, "--seeds", str(SEEDS), "--no-process", "--json",
                       "--out", out])
    details.setdefault(model, []).append(ran.json())
    found = {}
    for line in ran.output.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event") == "seed":
            found[event["seed"]] = {name: value for name, value in event.items() if name != "seconds"}
    if ran.code != 0 or not found:
        return None, f"{model}: exit {ran.code}: {last_line(ran.output)}"
    with open(os.path.join(out, "model.safetensors"), "rb") as file:
        found["weights"] = hashlib.sha256(file.read()).hexdigest()
    return found, None


def compare_sprints(machine, details):
    """(what was equal, what was not), as texts."""
    same, other = [], []
    for model in MODELS:
        first, wrong = sprint_bits(machine, model, details)
        second, wrong = sprint_bits(machine, model, details) if first else (None, wrong)
        if wrong:
            other.append(wrong)
            continue
        differ = [seed for seed in {**first, **second} if first.get(seed) != second.get(seed)]
        if differ:
            other.append(f"{model}: OTHER BITS in a second process: {len(differ)} of {len(first)}, {differ[0]} the first")
        else:
            same.append(f"{model}, {len(first) - 1} seeds")
        say(f"  {other[-1] if differ else same[-1] + ': the same bits in two processes'}")
    return same, other


def twin(machine):
    """The program with the waits: the bundle's, or that of the build beside it; None if it is not built."""
    built = os.path.join(os.path.dirname(os.path.dirname(machine.tests)), "jitter/tests", PROGRAM)
    return machine.packed(f"{PROGRAM}_jitter") or (built if os.access(built, os.X_OK) else None)


def kernel_bits(machine, program, name, seconds):
    """({kernel: the hash of what it computes}, None or what is wrong, None or why there are not all of them)."""
    path = os.path.join(machine.work, f"bits_{name}.txt")
    if os.path.exists(path):
        os.remove(path)
    environment = dict(machine.own_environment(), TRAINER_BITS_OUT=path, TRAINER_MODELS=os.path.join(machine.root, "models"))
    late = None
    try:
        ran = machine.run([program], seconds, environment)
        machine.details[name] = ran.json()
        if ran.code != 0:
            return {}, f"{name}: exit {ran.code}: {last_line(ran.output)}", None
    except OutOfTime as over:
        machine.details[name], late = {"output": over.output}, str(over)
    try:
        with open(path, encoding="utf-8") as file:
            found = dict(line.rsplit(maxsplit=1) for line in file if line.endswith("\n"))
    except (OSError, ValueError) as error:
        return {}, None if late else f"{name}: no hashes: {error}", late
    return found, None if found or late else f"{name}: it wrote no hashes", late


def compare_kernels(machine):
    """(what was equal, what was not, what is missing), as texts. What only one of two had time for is not compared."""
    plain, waiting = machine.test_program(PROGRAM), twin(machine)
    if not os.access(plain, os.X_OK):
        return [], [], [f"{PROGRAM} is not built"]
    first, wrong, late = kernel_bits(machine, plain, PROGRAM, machine.remaining() * (0.45 if waiting else 0.95))
    missing = [late] if late else []
    if wrong:
        return [], [wrong], missing
    say(f"  {PROGRAM}: {len(first)} kernels give the same bits again and again{', then its time was over' if late else ''}")
    if not waiting:
        return [], [], missing + ["no twin of it with pseudo-random waits (scripts/build.sh jitter gpu_bits_test)"]
    second, wrong, late_too = kernel_bits(machine, waiting, f"{PROGRAM}_jitter", machine.remaining() * 0.95)
    missing += [late_too] if late_too else []
    if wrong:
        return [], [wrong], missing
    names = {**first, **second} if not missing else [name for name in first if name in second]
    differ = sorted(name for name in names if first.get(name) != second.get(name))
    for name in differ:
        say(f"  {name}: {first.get(name, 'nothing')} without waits, {second.get(name, 'nothing')} with them")
    if differ:
        return [], [f"OTHER BITS with waits before the barriers: {', '.join(differ)}"], missing
    return [f"{len(names)} kernels with and without waits"], [], missing


def bits(machine, _device):
    """Fails if any bit differs; what is not built is skipped with a message, and then the stage does not pass."""
    same, other = compare_sprints(machine, machine.details)
    kernels, differ, missing = compare_kernels(machine)
    for text in missing:
        say(f"  SKIPPED: {text}")
    if other or differ:
        return Outcome("failed", "; ".join(other + differ), machine.details)
    text = f"the same bits: {', '.join(same + kernels)}"
    return Outcome("skipped" if missing else "passed", "; SKIPPED: ".join([text, *missing]), machine.details)
