#!/usr/bin/env python3
"""Writes the tables of README.md from the records: between `<!-- table: NAME -->` and `<!-- end -->`.

    benchmarks/tables.py            rewrite README.md
    benchmarks/tables.py --check    fail if it would change
"""
import glob
import json
import os
import re
import sys

import record

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def newest(kind):
    """The newest record of a kind for each machine and subject."""
    found = {}
    for path in sorted(glob.glob(os.path.join(record.FOLDER, "*.json"))):
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
        if value.get("kind") == kind:
            subject = (value.get("model"), value.get("epochs"), value.get("precision", "fp32"))
            found[(value["machine"]["cpu"], *subject)] = value
    return list(found.values())


def origin(value):
    machine = value["machine"]
    return (f"{machine['cpu']}, {machine['cores']} cores, {machine['instruction_set']}; {value['versions']['trainer']}; "
            f"{value['date'][:10]}; `{value['command']}`")


def seconds(value):
    return f"{value['median']:.3g} ({value['min']:.3g} to {value['max']:.3g})"


def accuracy_table():
    lines = ["| network | precision | epochs | seeds | test accuracy, mean +- standard error over seeds | min to max |",
             "|---|---|---|---|---|---|"]
    origins = []
    for value in sorted(newest("accuracy"), key=lambda v: (v["model"], v["epochs"], v.get("precision", "fp32"))):
        a = value["accuracy_percent"]
        lines.append(f"| `{value['model']}` | {value.get('precision', 'fp32')} | {value['epochs']} | {value['seeds']} | {a['mean']:.3f} +- "
                     f"{a['standard_error']:.3f} % | {a['min']:.2f} to {a['max']:.2f} % |")
        origins.append(origin(value))
    return "\n".join(lines + [""] + sorted({f"{o}  " for o in origins}))


def timed(value, head, rows, repeats):
    """Two sides timed in turn: a row of cells each, and where it was measured."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"] + [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines + ["", f"Median (min to max) of {value['repeats']}{repeats}, {value['threads']} threads each, "
                              f"run in turn. {origin(value)}"])


def case_name(case):
    return f"`{case['model']}`, batch {case['batch']}, {case['images']:,} images"


def peer_table():
    parts = []
    for value in newest("cpu_vs_torch"):
        sides = [("whole process: `quick`, one epoch and test", value["process"])]
        sides += [(case_name(case), case) for case in value["cases"]]
        rows = [(name, seconds(side["trainer_seconds"]), seconds(side["torch_seconds"]), f"**{side['ratio']:.1f}**")
                for name, side in sides]
        parts.append(timed(value, ("what", "trainer, s", f"PyTorch {value['versions']['torch']}, s", "times faster"), rows, ""))
    return "\n\n".join(parts)


def bf16_table():
    parts = []
    for value in newest("cpu_bf16"):
        rows = [(case_name(case), seconds(case["fp32_seconds"]), seconds(case["bf16_seconds"]), f"**{case['ratio']:.2f}**",
                 f"{case['fp32_accuracy_percent']:.2f} and {case['bf16_accuracy_percent']:.2f} %") for case in value["cases"]]
        parts.append(timed(value, ("what", "fp32, s", "bf16, s", "times faster", "accuracy after it, fp32 and bf16"), rows,
                           " epochs"))
    return "\n\n".join(parts)


TABLES = {"accuracy": accuracy_table, "peer": peer_table, "bf16": bf16_table}


def filled(text):
    def fill(match):
        return f"<!-- table: {match.group(1)} -->\n\n{TABLES[match.group(1)]()}\n\n<!-- end -->"
    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def main():
    path = os.path.join(ROOT, "README.md")
    with open(path, encoding="utf-8") as file:
        old = file.read()
    new = filled(old)
    if "--check" in sys.argv[1:]:
        if new != old:
            sys.exit("README.md: its tables are not those of benchmarks/records; run benchmarks/tables.py")
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(new)


if __name__ == "__main__":
    main()
