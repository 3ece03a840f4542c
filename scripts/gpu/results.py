"""The results of a check: one record, one log and two tables, rewritten after each stage, so that an interrupted check leaves
everything that was done. DIR/NAME.json has all raw data, DIR/NAME-summary.md what a person reads first, DIR/NAME-kernels.csv
each kernel's time beside its prediction.
"""
import csv
import datetime
import io
import os
import platform
import re

from machine import OUTPUT, say, write_json

COLUMNS = ("network", "precision", "kernel", "layer", "measured_us", "predicted_us", "ratio", "source")
CUT = {"status": "cut", "text": "the check ended while it ran", "seconds": 0, "details": {}}


def word(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def now():
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


class Results:
    """The record as it grows, and its files. `prefix`: first, second or gpu_check, so that a plan's files stay beside another's."""

    def __init__(self, machine, device, options, prefix):
        version = machine.run([machine.trainer, "--version"]).output.strip()
        found = re.search(r"\b[0-9a-f]{7,40}(-dirty)?\b", version)
        self.record = {"kind": "gpu_check", "plan": machine.plan or None, "date": now(), "command": options.command,
                       "commit": found.group(0) if found else "unknown",
                       "machine": {"cpu": device["cpu"]["model"], "cores": device["cpu"]["cores"], "gpu": device["gpu"]["name"],
                                   "memory_bytes": device["cpu"]["memory_bytes"], "system": platform.platform()},
                       "versions": {"trainer": version, "python": platform.python_version(),
                                    "gpu_software": device.get("gpu_software")},
                       "libraries": machine.libraries, "passed": False, "stages": {}}
        name = "-".join([self.record["date"][:10], word(device["gpu"]["name"]), word(self.record["commit"])])
        self.path = os.path.join(options.records, f"{name}{f'-{prefix}' if machine.plan else ''}.json")
        self.tables = os.path.join(options.out, prefix)
        self.spare = os.path.join(machine.work, os.path.basename(self.path))

    def begin(self, stage):
        """Until it has ended, a stage counts as cut off."""
        self.take(stage, CUT)

    def take(self, stage, result):
        stages = self.record["stages"]
        stages[stage] = result
        self.record["passed"] = not self.with_status("failed", "cut")
        self.write()

    def with_status(self, *statuses):
        return [stage for stage, result in self.record["stages"].items() if result["status"] in statuses]

    def write(self):
        if not write_json(self.path, self.record) and self.spare != self.path:
            write_json(self.spare, self.record)
        rows = self.details("kernels").get("rows")
        if rows:
            text = io.StringIO()
            table = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
            table.writeheader()
            table.writerows({name: f"{value:.3f}" if isinstance(value, float) else value for name, value in row.items()}
                            for row in rows)
            OUTPUT.write(f"{self.tables}-kernels.csv", text.getvalue())
        OUTPUT.write(f"{self.tables}-summary.md", self.markdown())

    def details(self, stage):
        return self.record["stages"].get(stage, {}).get("details") or {}

    def rows(self):
        """(stage, how it ended, seconds, text) of each stage; a star: not run again."""
        for name, result in self.record["stages"].items():
            status = result["status"] if result["status"] == "passed" else result["status"].upper()
            yield name, status + ("" if result.get("again", True) else "*"), result["seconds"], result["text"]

    def title(self):
        return f"{self.record['machine']['gpu']}, {self.record['versions']['trainer']}"

    def markdown(self):
        lines = [f"# {self.title()}", "", f"`{self.record['command']}`, {self.record['date']}", "",
                 "| stage | ended | seconds | |", "|---|---|---|---|"]
        lines += [f"| {name} | {status} | {seconds:.1f} | {text.replace('|', '/')} |" for name, status, seconds, text in self.rows()]
        lines += ["", "## What to look at next", "", *(f"- {text}" for text in self.next_looks()), ""]
        return "\n".join(lines)

    def next_looks(self):
        """What failed, what was left out, and the figures that are furthest from their predictions."""
        looks = [f"{name} {status}: {text}" for name, status, _, text in self.rows() if status in ("FAILED", "CUT", "SKIPPED")]
        rows = [row for row in self.details("kernels").get("rows", []) if row["kernel"] != "(sum)"]
        known = [row for row in rows if row["ratio"]]
        looks += [f"{row['network']}, {row['kernel']} of {row['layer']}: {row['measured_us']:.1f} us, {row['ratio']:.1f} times what "
                  "was predicted" for row in sorted(known, key=lambda row: -row["ratio"])[:4]]
        described = {row["network"] for row in rows if row["predicted_us"] is not None}
        unknown = [row for row in rows if row["predicted_us"] is None and row["network"] in described]
        looks += [f"{row['network']}, {row['kernel']}: {row['measured_us']:.1f} us that nobody predicted"
                  for row in sorted(unknown, key=lambda row: -row["measured_us"])[:2]]
        if "bits" in self.record["stages"] and self.record["stages"]["bits"]["status"] == "passed":
            looks += [f"bits: {self.record['stages']['bits']['text']}"]
        for row in self.details("sprint").get("rows", []):
            looks += [clock_text(row)] if row.get("sm_megahertz") else []
        starts = self.details("report").get("start_seconds", {})
        if starts.get("held_awake"):
            looks += [f"a process starts in {starts['held']:.2f} s beside the one that holds the device, in {starts['alone']:.2f} s "
                      "before it did"]
        return looks

    def say_summary(self):
        say(f"\n{self.title()}")
        for name, status, seconds, text in self.rows():
            say(f"  {name:13} {status:8} {seconds:7.1f} s {text if len(text) < 160 else text[:157] + '...'}")
        if any(status.endswith("*") for _, status, _, _ in self.rows()):
            say("  * passed before on this build and GPU, not run again (--again runs it)")
        looks = self.next_looks()
        if looks:
            say("\nWhat to look at next:")
        for text in looks:
            say(f"  {text if len(text) < 240 else text[:237] + '...'}")


def clock_text(row):
    clock = row["sm_megahertz"]
    return (f"{row['model']}: SM clock {clock['before']} MHz before, {clock['least']} to {clock['most']} while it ran, "
            f"{clock['after']} after")
