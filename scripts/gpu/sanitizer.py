"""The stage of compute-sanitizer. A tool is believed only after it has found its own planted fault (planted_fault.cu)
and has found nothing in a correct kernel, both with the options of the real runs. One that is absent, refuses the device
or does not find its fault is skipped aloud; one that works and finds something in our programs fails the stage.
"""
import os
import re
import shutil
import tempfile

from machine import Outcome, OutOfTime, last_line, say

FOUND = 66  # what a tool exits with where it reports anything; our programs never do

# Calls that fail on purpose (a test of what the program says then) are no fault, and hazards of shared memory are looked
# for in our own kernels alone: NVIDIA's are not ours to mend, and take the longest.
TOOLS = {
    "memcheck": ["--report-api-errors", "no"],
    "racecheck": ["--kernel-name", "kernel_substring=trainer"],
    "initcheck": [],
    "synccheck": [],
}
TRIAL_SECONDS = 15
RUN_SECONDS = 30


def find_sanitizer():
    """The command, or None. A toolkit has it in bin/, or in a folder of its own beside."""
    toolkits = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")] + ["/usr/local/cuda"]
    places = [shutil.which("compute-sanitizer")]
    for toolkit in filter(None, toolkits):
        places += [os.path.join(toolkit, part, "compute-sanitizer") for part in ("bin", "compute-sanitizer")]
    return next((place for place in places if place and os.access(place, os.X_OK)), None)


def plant(machine, folder):
    """The program with the faults: the bundle's, else compiled here. (path or None, why not)"""
    packed = os.path.join(machine.root, "bin/planted_fault")
    if os.access(packed, os.X_OK):
        return packed, ""
    compiler = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    if not os.access(compiler, os.X_OK):
        return None, "no planted_fault in this tree, and no nvcc to make it with"
    program = os.path.join(folder, "planted_fault")
    source = os.path.join(machine.root, "scripts/gpu/planted_fault.cu")
    ran = machine.run([compiler, "-arch=native", "-o", program, source], 40, dict(os.environ))
    return (program, "") if ran.code == 0 else (None, f"nvcc did not compile it: {last_line(ran.output)}")


def runs(machine):
    """Short runs of everything that a step does: (what, command)."""
    return [("the backend's tests", [machine.test_program("backend_test"),
                                     "--gtest_filter=*/cuda-*MemoryThatCannotBeHad*"]),
            ("a short training", [machine.trainer, "train", "--device", "cuda", "--model", "quick", "--limit-train", "512",
                                  "--epochs", "1", "--no-save"])]


def under(machine, sanitizer, tool, command, seconds):
    options = ["--tool", tool, "--error-exitcode", str(FOUND), "--print-limit", "20", *TOOLS[tool]]
    return machine.run([sanitizer, *options, *command], seconds)


def trial(machine, sanitizer, tool, planted):
    """(None where the tool is to be believed, else why it is not; what was run)"""
    try:
        clean = under(machine, sanitizer, tool, [planted, "none"], TRIAL_SECONDS)
        fault = under(machine, sanitizer, tool, [planted, tool], TRIAL_SECONDS)
    except OutOfTime as late:
        return str(late), {"output": late.output}
    raw = {"correct": clean.json(), "planted": fault.json()}
    refusal = re.search(r"^.*not supported.*$", clean.output + fault.output, re.MULTILINE | re.IGNORECASE)
    if refusal:
        return f"it refuses the device: {refusal.group(0).strip('= ')}", raw
    if clean.code != 0:
        return f"it ends with {clean.code} over a correct kernel: {last_line(clean.output)}", raw
    if fault.code != FOUND:
        return f"it does not find its planted fault (exit {fault.code}): {last_line(fault.output)}", raw
    return None, raw


def reports(output):
    """The blocks of lines that a tool prints for each finding, each with its kernel and place."""
    blocks, current = [], []
    for line in output.splitlines():
        if not line.startswith("========="):
            continue
        text = line[9:].rstrip()
        if text.startswith("     ") and current:
            current.append(text.strip())
            continue
        if current:
            blocks.append("\n".join(current))
        current = [text.strip()] if text.strip() else []
    if current:
        blocks.append("\n".join(current))
    return [block for block in blocks if "\n" in block]


def verdict(tool, ran):
    """(good, text) of a real run. cuDNN reads paddings that nobody wrote: reports of initcheck that name none of our
    kernels are told, not counted."""
    if ran.code == 0:
        return True, "nothing found"
    if ran.code != FOUND:
        return False, f"the program ended with {ran.code}: {last_line(ran.output)}"
    found = reports(ran.output)
    ours = [block for block in found if "trainer" in block]
    if tool == "initcheck" and found and not ours:
        return True, f"{len(found)} reports inside NVIDIA's libraries, none in our kernels"
    first = (ours or found or [last_line(ran.output)])[0]
    return False, f"{len(ours)} reports in our kernels of {len(found)}; the first: {first}"


def check(machine, sanitizer, tool, planted, details):
    """The real runs of one tool: its failures, each a text."""
    failures = []
    for what, command in runs(machine):
        try:
            ran = under(machine, sanitizer, tool, command, RUN_SECONDS)
        except OutOfTime as late:
            details[what] = {"output": late.output}
            good, text = False, str(late)
        else:
            details[what] = ran.json()
            good, text = verdict(tool, ran)
        say(f"  {tool}, {what}: {text}")
        if not good:
            failures.append(f"{tool}, {what}: {text.splitlines()[0]}")
    return failures


def sanitizer(machine, _device):
    """memcheck, racecheck, initcheck and synccheck over short runs."""
    command = find_sanitizer()
    if not command:
        return Outcome("skipped", "no compute-sanitizer on this machine (it comes with NVIDIA's toolkit)")
    details, failures, skipped = {"command": command}, [], {}
    with tempfile.TemporaryDirectory(dir=machine.work) as folder:
        planted, why_not = plant(machine, folder)
        if not planted:
            return Outcome("skipped", f"no tool can be tried: {why_not}", details)
        for tool in TOOLS:
            refusal, raw = trial(machine, command, tool, planted)
            details[tool] = {"trial": raw}
            if refusal:
                skipped[tool] = refusal
                say(f"  {tool}: SKIPPED: {refusal}")
                continue
            say(f"  {tool}: finds its planted fault, and nothing in a correct kernel")
            failures += check(machine, command, tool, planted, details[tool])
    details["skipped"] = skipped
    done = [tool for tool in TOOLS if tool not in skipped]
    text = f"clean: {', '.join(done) or 'no tool ran'}" + (f"; skipped: {', '.join(skipped)}" if skipped else "")
    if failures:
        return Outcome("failed", "; ".join(failures), details)
    return Outcome("passed" if done else "skipped", text if done else next(iter(skipped.values())), details)
