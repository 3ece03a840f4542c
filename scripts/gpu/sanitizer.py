"""The stage of compute-sanitizer. A tool is trusted only after it has found its own planted fault (planted_fault.cu)
and nothing in a correct kernel, both with the options of the real runs. A tool that is absent, refuses the device
or does not find its fault is skipped with a message; one that works and finds something in our programs fails the stage.
"""
import re

from machine import Outcome, OutOfTime, last_line, say, toolkit_program

FOUND = 66  # the exit code of a tool that reports anything; our programs never use it

# Shared-memory hazards are sought only in our own kernels. No tool sees a race between blocks: the stage `bits` does that.
TOOLS = {
    "memcheck": ["--report-api-errors", "no"],
    "synccheck": [],
    "initcheck": [],
    "racecheck": ["--kernel-name", "kernel_substring=trainer"],
}
TRIAL_SECONDS = 15
RUN_SECONDS = 30


def runs(machine, device):
    """Short trainings in each precision that run all our cooperative kernels and none of NVIDIA's libraries. The batch is
    small: a tool may add registers, and all blocks of a cooperative kernel must still run at once."""
    words = ["fp32", "tf32", "bf16", "fp16"] if device["gpu"]["major"] >= 8 else ["fp32", "fp16"]
    return [(f"{model} in {precision}",
             [machine.trainer, "train", "--device", "cuda", "--model", model, "--batch", "256", "--limit-train", "512",
              "--epochs", "1", "--precision", precision, "--no-save"])
            for precision in words for model in ("sprint", "sprint-lean")]


def under(machine, sanitizer, tool, command, seconds):
    options = ["--tool", tool, "--error-exitcode", str(FOUND), "--print-limit", "20", *TOOLS[tool]]
    return machine.run([sanitizer, *options, *command], seconds)


def trial(machine, sanitizer, tool, planted):
    """(None if the tool can be trusted, else why not; what was run)"""
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
    """The block of lines that a tool prints for each finding, with its kernel and place."""
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


def verdict(ran):
    """(good, text) of a real run."""
    if ran.code == 0:
        return True, "nothing found"
    if ran.code != FOUND:
        return False, f"the program ended with {ran.code}: {last_line(ran.output)}"
    found = reports(ran.output)
    ours = [block for block in found if "trainer" in block]
    first = (ours or found or [last_line(ran.output)])[0]
    return False, f"{len(ours)} reports in our kernels of {len(found)}; the first: {first}"


class Tool:
    """One of compute-sanitizer's tools, and its results."""

    def __init__(self, name):
        self.name, self.clean, self.failures, self.late, self.refusal = name, 0, [], [], None
        self.tried = False

    def believed(self, machine, sanitizer, planted):
        """Tests the tool before its first run; false if it cannot be trusted."""
        if not self.tried:
            self.tried = True
            self.refusal, raw = trial(machine, sanitizer, self.name, planted)
            machine.details[self.name] = {"trial": raw}
            say(f"  {self.name}: " + (f"SKIPPED: {self.refusal}" if self.refusal else
                                      "finds its planted fault, and nothing in a correct kernel"))
        return self.refusal is None

    def check(self, machine, sanitizer, what, command):
        try:
            ran = under(machine, sanitizer, self.name, command, RUN_SECONDS)
        except OutOfTime as late:
            machine.details[self.name][what] = {"output": late.output}
            self.late.append(what)
            say(f"  {self.name}, {what}: SKIPPED: {late}")
            return
        machine.details[self.name][what] = ran.json()
        good, text = verdict(ran)
        say(f"  {self.name}, {what}: {text}, {ran.seconds:.1f} s")
        self.clean += good
        self.failures += [] if good else [f"{self.name}, {what}: {text.splitlines()[0]}"]

    def skipped(self):
        if self.refusal:
            return [f"{self.name}: {self.refusal}"]
        return [f"{self.name}: no time for {', '.join(self.late)}"] if self.late else []


def sanitizer(machine, device):
    """Each tool over each training, the riskiest training first; runs that do not fit into the time are skipped."""
    command = toolkit_program("compute-sanitizer", "compute-sanitizer")
    if not command:
        return Outcome("skipped", "no compute-sanitizer on this machine (it comes with NVIDIA's toolkit)")
    planted, why_not = machine.compiled("planted_fault")
    if not planted:
        return Outcome("skipped", f"no tool can be tried: {why_not}", machine.details)
    machine.details["command"] = command
    tools = [Tool(name) for name in TOOLS]
    for what, training in runs(machine, device):
        for tool in tools:
            if tool.believed(machine, command, planted):
                tool.check(machine, command, what, training)
    failures = [text for tool in tools for text in tool.failures]
    done = [f"{tool.name} ({tool.clean} trainings)" for tool in tools if tool.clean]
    skipped = [text for tool in tools for text in tool.skipped()]
    machine.details["skipped"] = skipped
    if failures:
        return Outcome("failed", "; ".join(failures), machine.details)
    text = f"clean: {', '.join(done)}" if done else "no tool ran to its end"
    return Outcome("passed" if done else "skipped", "; SKIPPED: ".join([text, *skipped]), machine.details)
