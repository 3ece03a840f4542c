#!/usr/bin/env python3
"""Writes the tables of README.md, benchmarks/NOTES.md and docs/clusters.md from the records: between `<!-- table: NAME -->` and `<!-- end -->`.

    benchmarks/tables.py            rewrite them, benchmarks/sprint.svg and trainer/runs/known_accuracies.hpp
    benchmarks/tables.py --check    fail if it would change
"""
import math
import os
import re
import sys

import hard_tables
import ranks_tables
import record
from record import newest, origin

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def seconds(value):
    return f"{value['median']:.3g} ({value['min']:.3g} to {value['max']:.3g})"


def accuracy_table():
    lines = ["| network | precision | epochs | seeds | test accuracy, mean +- standard error over seeds | min to max |",
             "|---|---|---|---|---|---|"]
    origins = []
    for value in sorted(newest("accuracy"), key=lambda v: (v["model"], v["epochs"], v.get("precision", "fp32"), v.get("data", ""))):
        a = value["accuracy_percent"]
        data = f" on {value['data']}" if "data" in value else ""
        lines.append(f"| `{value['model']}`{data} | {value.get('precision', 'fp32')} | {value['epochs']} | {value['seeds']} | " +
                     (f"{a['mean']:.2f} % | |" if value["seeds"] == 1 else
                      f"{a['mean']:.3f} +- {a['standard_error']:.3f} % | {a['min']:.2f} to {a['max']:.2f} % |"))
        if "committee_percent" in value:
            lines.append(f"| `{value['model']}`, all {value['seeds']} as one (`trainer committee`) | {value.get('precision', 'fp32')} | {value['epochs']} | | "
                         f"{value['committee_percent']:.2f} % | |")
        origins.append(origin(value))
    return "\n".join(lines + [""] + sorted({f"{o}  " for o in origins}))


def timed(value, head, rows, repeats):
    """Two sides timed in turn: one row of cells each, and where they were measured."""
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
                 *(f"{case[side]['mean']:.2f} +- {case[side]['standard_error']:.2f} %"
                   for side in ("fp32_accuracy_percent", "bf16_accuracy_percent"))) for case in value["cases"]]
        parts.append(timed(value, ("what", "fp32, s", "bf16, s", "times faster", "accuracy after it, fp32", "bf16"), rows,
                           " epochs, a seed each") + ". Accuracy: mean +- standard error over those seeds.")
    return "\n\n".join(parts)


def sprint_sides(value):
    """(label, seconds to 99 %) of everything that a record timed, the fastest first."""
    torch = f"PyTorch {value['versions']['torch'].split('+')[0]}"
    sides = [(f"quick, {torch}", value["quick_in_torch"]["seconds"]["median"])] if "quick_in_torch" in value else []
    for case in value["cases"]:
        if case.get("target_percent", 99) > 99:
            continue
        times = case["train_and_test"]
        sides.append((f"{case['model']}, {torch}", times["torch_seconds"]["median"]))
        sides.append((f"{case['model']}, trainer", times["trainer_seconds"]["median"]))
    return sorted(sides, key=lambda side: side[1])


def sprint_table():
    parts = []
    for value in newest("sprint_vs_torch"):
        rows = []
        for case in value["cases"]:
            a = value["accuracy"][case["model"]]
            percent = a["percent"]
            reached = (f"{percent['mean']:.3f} +- {percent['standard_error']:.3f} % ({percent['min']:.2f} to {percent['max']:.2f}), "
                       f"{a['seeds']} seeds")
            views = ", views" if a.get("views", 1) > 1 else ""
            for what, name in (("train_and_test", "training + test"), ("process", "whole process")):
                if what not in case:
                    continue
                side = case[what]
                rows.append((f"`{case['model']}`{views}, {name}", reached if what == "train_and_test" else "",
                             seconds(side["trainer_seconds"]), seconds(side["torch_seconds"]), f"**{side['ratio']:.1f}**"))
        head = ("what", "test accuracy", "trainer, s", f"PyTorch {value['versions']['torch']}, s", "times faster")
        parts.append(timed(value, head, rows, " turns") + ".")
        quick = value.get("quick_in_torch")
        if quick:
            parts[-1] += (f" `quick`, one epoch, in PyTorch: {seconds(quick['seconds'])} s, {quick['ratio']:.1f} times the time of "
                          f"`{value['cases'][0]['model']}`.")
        views = value.get("views")
        if views:
            percent = views["accuracy"]["percent"]
            parts.append(f"A class of its own, with five views of the least certain tenth of the test images: `sprint-lean-views` reaches "
                         f"{percent['mean']:.3f} +- {percent['standard_error']:.3f} % ({views['accuracy']['seeds']} seeds) in "
                         f"{seconds(views['seconds'])} s, {seconds(views['ratio'])} times the time of `sprint-lean` in the same turns.")
    return "\n\n".join(parts)


def sprint_picture():
    """Time to 99 % by machine and program on a logarithmic scale, as SVG."""
    published = ("quick, published record, on a GPU", 0.762)
    bars = [(label, time, "trainer" in label) for value in newest("sprint_vs_torch") for label, time in sprint_sides(value)]
    bars = sorted([*bars, (*published, False)], key=lambda bar: bar[1])
    left, width, row = 250, 420, 26
    low, high = 0.1, 10.0

    def at(time):
        return left + width * math.log(time / low) / math.log(high / low)

    machine = newest("sprint_vs_torch")[0]["machine"]
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {60 + row * len(bars)}" font-family="sans-serif" font-size="13">',
             "<style>text{fill:#222}.axis{stroke:#999;stroke-width:.6}.own{fill:#1769aa}.peer{fill:#9aa5ad}"
             "@media(prefers-color-scheme:dark){text{fill:#ddd}.peer{fill:#66717a}}</style>",
             f'<text x="10" y="18">training + test to 99 % of MNIST, s (logarithmic); {machine["cpu"]}, {machine["cores"]} cores</text>']
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10):
        lines.append(f'<line class="axis" x1="{at(tick):.1f}" x2="{at(tick):.1f}" y1="28" y2="{32 + row * len(bars)}"/>'
                     f'<text x="{at(tick):.1f}" y="{48 + row * len(bars)}" text-anchor="middle">{tick:g}</text>')
    for i, (label, time, own) in enumerate(bars):
        y = 32 + row * i
        lines.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{label}</text>'
                     f'<rect class="{"own" if own else "peer"}" x="{left}" y="{y + 3}" width="{at(time) - left:.1f}" height="{row - 8}"/>'
                     f'<text x="{at(time) + 6:.1f}" y="{y + 16}">{time:.3g}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def bench_table():
    """`trainer bench` on each machine with a record, the newest of each device."""
    found = {value["device_name"]: value for value in newest("bench")}
    parts = []
    for device, value in sorted(found.items()):
        lines = ["| network | batch | precision | epoch of 60,000 images, s | images/s | of the peak | memory |", "|---|---|---|---|---|---|---|"]
        for result in value["results"]:
            share = result["share_of_peak"]
            lines.append(f"| `{result['model']}` | {result['batch']} | {result['precision']} | {seconds(result['epoch_seconds'])} | "
                         f"{result['images_per_second']:,.0f} | {'n/a' if share is None else f'{100 * share:.0f} %'} | "
                         f"{result['memory_bytes'] / 2**20:.0f} MiB |")
        settings = value["settings"]
        parts.append("\n".join([*lines, "", f"{device}. Median (min to max) of {settings['repeats']} repeats, training without evaluation; "
                                f"trainer {value['versions'].get('trainer', '')} {value['commit']}; {value['date'][:10]}; `trainer bench`"]))
    return "\n\n".join(parts)


def photographs_table():
    """`trainer predict` on photographed digits beside a plain pipeline that feeds the same network, kind by kind."""
    def cells(side):
        claims = [f"{100 * side[key]:.0f} %" if side[key] is not None else "-" for key in ("mean_claim_right", "mean_claim_wrong")]
        return [f"{side['accuracy_percent']:.1f} %", str(side["refused"]), *claims]

    parts = []
    for value in newest("photographs"):
        lines = ["| page | trainer reads | refuses | mean claim when right | when wrong | plain pipeline reads |", "|---|---|---|---|---|---|"]
        for case in value["cases"]:
            lines.append(f"| {case['what']} | {' | '.join(cells(case['trainer']))} | {case['plain']['accuracy_percent']:.1f} % |")
        parts.append("\n".join([*lines, "", f"{value['count']} pages of each kind; the network reads {value['network']['accuracy_percent']:.2f} % of "
                                f"MNIST's test set. {origin(value)}"]))
    return "\n\n".join(parts)


def faults_table():
    """Flipped bits, kind by kind, and trainings without one (benchmarks/faults.py, benchmarks/clean_proofs.py)."""
    names = {"arithmetic": "the result of an operation, CPU", "load": "a value as it is read, CPU", "store": "what a kernel has stored, CPU",
             "memory": "any memory of the training, CPU", "gpu_store": "what a kernel has stored, emulated GPU",
             "gpu_memory": "any memory of the training, emulated GPU"}
    columns = ("trials", "masked", "found", "ended_the_run", "traced", "came_back")
    parts = []
    for value in newest("faults"):
        total = {"kind": "all", **{key: sum(row[key] for row in value["rows"]) for key in columns}}
        lines = ["| one bit flips in | faults | masked | found | of these: ended the run | named the step | a weight moved, and came back |",
                 "|---|---|---|---|---|---|---|"]
        for row in [*value["rows"], total]:
            cells = [f"{row[key]:,}" for key in columns]
            cells[4] += f" ({100 * row['traced'] / max(1, row['found']):.1f} %)"
            lines.append(f"| {names.get(row['kind'], '**all**')} | {' | '.join(cells)} |")
        late = [t["where"] for row in value["rows"] for t in row["not_traced"] if t["first_step"] == t["step"] + 1]
        parts.append("\n".join([*lines, "", f"{value['steps']} steps of a network of {value['parameters']:,} parameters, batch {value['batch']}. {len(late)} "
                                f"faults show one step later, in: {', '.join(sorted(set(late)))}, which no digest covers. A weight comes back if a "
                                f"later step rounds its last bits to the right ones; the digest of the fault's step tells. {origin(value)}"]))
    for value in newest("clean_proofs"):
        parts.append(f"Without a fault: {value['count']:,} trainings of `{value['model']}` on 1 to 4 threads, half of them beside "
                     f"{value['other_processes']} other processes that compute; {value['wrong']} with another digest. {origin(value)}")
    return "\n\n".join(parts)


def portable_table():
    """Portable bits beside the fast engine on a CPU (benchmarks/portable_speed.py)."""
    parts = []
    for value in newest("portable_speed"):
        lines = ["| network | instructions | fast engine, s | portable bits, s | times as long |", "|---|---|---|---|---|"]
        for case in value["cases"]:
            cells = [f"{case[key]['median']:.3g} ({case[key]['min']:.3g} to {case[key]['max']:.3g})" for key in ("fast_seconds", "portable_seconds")]
            ratio = case["ratio"]
            lines.append(f"| `{case['network']}` | {case['instructions']} | {' | '.join(cells)} | **{ratio['median']:.2f}** "
                         f"({ratio['min']:.2f} to {ratio['max']:.2f}) |")
        parts.append("\n".join([*lines, "", f"Median (min to max) of {value['repeats']} turns in fp32, {value['threads']} threads: training + test of the sprints, "
                                f"some steps of the others. {origin(value)}"]))
    return "\n\n".join(parts)


def known_accuracies():
    """trainer/runs/known_accuracies.hpp: the accuracy of networks with their own recipes over seeds."""
    rows = [(value["model"], value["epochs"], value.get("precision", "fp32"), value["seeds"],
             value["accuracy_percent"]["mean"], value["accuracy_percent"]["deviation_over_seeds"]) for value in newest("accuracy") if "data" not in value]
    for value in newest("sprint_vs_torch"):
        rows += [(model, 0, "fp32", a["seeds"], a["percent"]["mean"], a["percent"]["deviation"]) for model, a in value["accuracy"].items()
                 if a.get("views", 1) == 1]  # a result with views says nothing of a training, whose tests see each image once
    return KNOWN_ACCURACIES.replace("ROWS", "\n".join(
        f'    {{"{model}", {epochs}, "{precision}", {seeds}, {mean:.4f}, {deviation:.4f}}},'
        for model, epochs, precision, seeds, mean, deviation in sorted(rows)))


KNOWN_ACCURACIES = """// What networks reach on the shipped MNIST with their own recipes, over seeds. Written by benchmarks/tables.py from
// benchmarks/records.
#pragma once

#include <string_view>

namespace trainer {

struct KnownAccuracy {
  std::string_view network;
  int epochs;  // 0: a recipe that counts steps
  std::string_view precision;
  int seeds;
  double mean, deviation;  // per cent; the deviation is that of single seeds
};

inline constexpr std::string_view kMnistFingerprint = "crc32:e9f4d8b3-e0cb4ad2-91373bdf-4ab9eff9";

inline constexpr KnownAccuracy kKnownAccuracies[] = {
    // clang-format off
ROWS
    // clang-format on
};

}  // namespace trainer
"""

TABLES = {"ranks": ranks_tables.exchanges, "few_bits": ranks_tables.few_bits, "ranks_accuracy": ranks_tables.accuracy, "rank_losses": ranks_tables.losses, "portable": portable_table, "faults": faults_table, "hard": hard_tables.summary, "trials": hard_tables.trials, "mutants": hard_tables.mutants, "fuzz": hard_tables.fuzz, "photographs": photographs_table, "bench": bench_table, "sprint": sprint_table, "accuracy": accuracy_table, "peer": peer_table, "bf16": bf16_table}


def filled(text):
    def fill(match):
        return f"<!-- table: {match.group(1)} -->\n\n{TABLES[match.group(1)]()}\n\n<!-- end -->"
    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def main():
    picture = os.path.join(ROOT, "benchmarks", "sprint.svg")
    written = {picture: sprint_picture(), os.path.join(ROOT, "trainer", "runs", "known_accuracies.hpp"): known_accuracies()}
    for path in (os.path.join(ROOT, name) for name in ("README.md", "benchmarks/NOTES.md", "docs/clusters.md")):
        with open(path, encoding="utf-8") as file:
            written[path] = filled(file.read())
    for path, text in written.items():
        if "--check" in sys.argv[1:]:
            with open(path, encoding="utf-8") as file:
                if file.read() != text:
                    sys.exit(f"{os.path.relpath(path, ROOT)}: not what benchmarks/records say; run benchmarks/tables.py")
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)


if __name__ == "__main__":
    main()
