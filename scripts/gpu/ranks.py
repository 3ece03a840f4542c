"""The stage of gpu_check for ranks on GPUs: what NCCL connects on this machine, and the program's own ranks where it has several GPUs."""
import re

from machine import Outcome, last_line, say

PROGRAM, CASES = "gpu_training_test", "*GpuWorld*"
TRAINING = ["--model", "sprint-lean", "--bits", "portable", "--limit-train", "8192", "--epochs", "1", "--no-save"]


def digest_of(machine, *more):
    """(the digest of a training, None or why there is none)"""
    ran, events = machine.train(*TRAINING, *more)
    machine.details.setdefault("trainings", []).append(ran.json())
    digest = events.get("end", {}).get("digest")
    return (digest, None) if ran.code == 0 and digest else (None, f"exit {ran.code}: {last_line(ran.output)}")


def own_ranks(machine, gpus):
    """Compares `train --ranks N` with one process: (what was compared, what was skipped, what failed), as texts."""
    alone, wrong = digest_of(machine)
    if wrong:
        return [], [], [f"one process: {wrong}"]
    same, skipped, failures = [], [], []
    for count in [count for count in (2, 4, 8) if count <= gpus]:
        found, wrong = digest_of(machine, "--ranks", str(count))
        if wrong and "--ranks" in wrong:  # no mpirun, or no part of this program for it
            return same, [wrong], failures
        if found == alone:
            same.append(f"--ranks {count}")
        else:
            failures.append(f"--ranks {count}: {wrong or 'ANOTHER DIGEST than one process'}")
    return same, skipped, failures


def ranks(machine, device):
    """Worlds of one GPU and of all numbers that this machine has: recorded exchanges, trainings, portable bits."""
    details = machine.details
    ran, cases = machine.run_tests(PROGRAM, CASES)
    details[PROGRAM] = {"run": ran.json(), "cases": cases}
    if cases is None or cases["failed"] or ran.code != 0:
        return Outcome("failed", f"{PROGRAM}: exit {ran.code}: {', '.join(cases['failed']) if cases else last_line(ran.output)}", details)
    skipped = list(dict.fromkeys(re.findall(r": Skipped\n(.+)", ran.output)))
    for reason in skipped:
        say(f"  SKIPPED: {reason}")
    if not cases["ran"]:
        return Outcome("skipped", f"SKIPPED: {'; '.join(skipped) or 'no case of it is in this build'}", details)
    gpus = len(device.get("gpus") or [])
    same, more, failures = own_ranks(machine, gpus) if gpus > 1 else ([], [], [])
    if failures:
        return Outcome("failed", "; ".join(failures), details)
    text = f"{len(cases['ran'])} cases through NCCL" + "".join(f", {name} has the digest of one process" for name in same)
    return Outcome("passed", "; SKIPPED: ".join([text, *skipped, *more]), details)
