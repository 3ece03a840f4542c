"""The stage `kernels` of gpu_check: the time of each kernel of a training step beside what benchmarks/gpu_model.py predicts.

Nsight Compute measures each kernel alone at the GPU's current clocks; if it is absent or refuses, device events around
each layer do (`trainer train --profile`), and the predictions are added up by layer. The stage never fails on a time.
"""
import collections
import csv
import glob
import json
import os
import re
import statistics
import sys

from machine import Outcome, OutOfTime, last_line, say, toolkit_program

NETWORKS = ("sprint", "sprint-lean", "quick")
PRECISION = "fp32"
LAUNCHES = 150  # kernels measured by ncu: several steps
MICROSECONDS = {"ns": 1e-3, "nsecond": 1e-3, "us": 1, "usecond": 1, "ms": 1e3, "msecond": 1e3, "s": 1e6, "second": 1e6}
UNPREDICTED = "-"


def base_name(name):
    """product_norm, of "void trainer::cuda::(anonymous namespace)::product_norm<(int)0, ...>(Arguments)" and the like."""
    name = re.sub(r"\(anonymous namespace\)::|<unnamed>::|^void ", "", name)
    return re.split(r"[<(]", name, maxsplit=1)[0].split("::")[-1].strip()


def predicted(machine, network):
    """(the model's kernels in launch order, None) or ([], why there are none)."""
    script = os.path.join(machine.root, "benchmarks/gpu_model.py")
    if not os.path.exists(script):
        return [], "no benchmarks/gpu_model.py in this tree"
    ran = machine.run([sys.executable, script, "--json", "--trainer", machine.trainer, "--precision", PRECISION, network], 20)
    try:
        return json.loads(ran.output[ran.output.index("{"):])["kernels"], None
    except (ValueError, KeyError):
        return [], f"gpu_model.py, exit {ran.code}: {last_line(ran.output)}"


def short_run(machine, network):
    """The command that trains some steps."""
    common = ["--device", "cuda", "--model", network, "--precision", PRECISION, "--no-save"]
    if network == "quick":
        return [machine.trainer, "train", "--limit-train", "8192", "--epochs", "1", *common]
    return [machine.trainer, "sprint", "--seeds", "1", "--no-process", *common]


def find_ncu():
    own = sorted(glob.glob("/opt/nvidia/nsight-compute/*/ncu"))
    return toolkit_program("ncu") or (own[-1] if own else "no ncu on this machine")


def launches_of(text):
    """(name, microseconds) of each kernel in ncu's CSV, in launch order."""
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith('"ID"')]
    if not heads:
        return []
    found = []
    for row in csv.DictReader(lines[heads[0]:]):
        unit = MICROSECONDS.get((row.get("Metric Unit") or "").strip())
        if row.get("Metric Name") != "gpu__time_duration.sum" or not unit:
            continue
        found.append((base_name(row["Kernel Name"]), unit * float(row["Metric Value"].replace(",", ""))))
    return found


def under_ncu(machine, ncu, network):
    """([(name, microseconds)], None) or ([], why not)."""
    log = os.path.join(machine.work, f"ncu_{network}.csv")
    if os.path.exists(log):
        os.remove(log)
    try:
        ran = machine.run([ncu, "--graph-profiling", "node", "--clock-control", "none", "--cache-control", "none", "--metrics",
                           "gpu__time_duration.sum", "--launch-count", str(LAUNCHES), "--csv", "--log-file", log,
                           *short_run(machine, network)], max(5, machine.remaining() * 0.5))
    except OutOfTime as late:
        return [], f"ncu: {late}"
    text = ""
    if os.path.exists(log):
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read()
    machine.details[f"ncu, {network}"] = dict(ran.json(), log=text[-200_000:])
    refusal = re.search(r"ERR_NVGPUCTRPERM.*|==ERROR==.*", text + ran.output)
    launches = launches_of(text)
    if launches:
        return launches, None
    return [], f"ncu, exit {ran.code}: {refusal.group(0) if refusal else last_line(ran.output)}"


def steps_of(launches, kernels):
    """The launches cut into steps after the last kernel that occurs once per step; only steps with the most common sequence,
    without the first, which includes what was launched before any step."""
    counts = collections.Counter(kernels)
    ends = [name for name in kernels if counts[name] == 1 and name in dict(launches)]
    if not ends:
        return []
    steps, step = [], []
    for launch in launches:
        step.append(launch)
        if launch[0] == ends[-1]:
            steps.append(step)
            step = []
    steps = steps[1:] or steps
    makes = collections.Counter(tuple(name for name, _ in step) for step in steps)
    usual = makes.most_common(1)[0][0]
    return [step for step in steps if tuple(name for name, _ in step) == usual]


def numbered(names):
    """Each name with the number of its earlier occurrences."""
    seen = collections.Counter()
    for name in names:
        yield name, seen[name]
        seen[name] += 1


def match(steps, kernels):
    """A row for each kernel, by its name and its occurrence in the step: the predicted ones in their order, then the
    unpredicted ones."""
    times = collections.defaultdict(list)
    for step in steps:
        for key, (_, us) in zip(numbered(name for name, _ in step), step):
            times[key].append(us)
    rows = []
    for key, kernel in zip(numbered(base_name(kernel["kernel"]) for kernel in kernels), kernels):
        measured = times.pop(key, None)
        rows.append({"kernel": key[0], "layer": kernel.get("layer", ""), "predicted_us": kernel["us"],
                     "measured_us": statistics.median(measured) if measured else None})
    return rows + [{"kernel": name, "layer": UNPREDICTED, "predicted_us": None, "measured_us": statistics.median(measured)}
                   for (name, _), measured in times.items()]


def by_layer(machine, network, kernels):
    """(rows of layers, None) or ([], why not): device events around each op, with predictions added up the same way."""
    trace = os.path.join(machine.work, "profile.json")
    try:
        ran, events = machine.train("--model", network, "--precision", PRECISION, "--limit-train", "4096", "--epochs", "1",
                                    "--no-save", "--profile", trace)
    except OutOfTime as late:
        return [], f"train --profile: {late}"
    profile = events.get("profile")
    if ran.code != 0 or not profile:
        return [], f"train --profile, exit {ran.code}: {last_line(ran.output)}"
    measured, expected = collections.Counter(), collections.Counter()
    for part in profile["parts"]:
        measured[part["name"]] += 1e6 * part["seconds"]
    for kernel in kernels:
        expected[{"step": "update"}.get(kernel["layer"], kernel["layer"])] += kernel["us"]
    return [{"kernel": "all of it", "layer": layer, "predicted_us": expected.get(layer), "measured_us": measured.get(layer)}
            for layer in [*measured, *(layer for layer in expected if layer not in measured)]], None


def measured_rows(machine, ncu, network, kernels):
    """(rows, the method, why not ncu); ncu: the command, or why it should not be tried."""
    launches, refusal = under_ncu(machine, ncu, network) if os.path.exists(ncu) else ([], ncu)
    steps = steps_of(launches, [base_name(kernel["kernel"]) for kernel in kernels] or [name for name, _ in launches][-1:])
    if steps:
        return match(steps, kernels), "ncu", None
    refusal = refusal or f"ncu saw {len(launches)} kernels, and no step among them"
    rows, wrong = by_layer(machine, network, kernels)
    return rows, "events", f"{refusal}; {wrong}" if wrong else refusal


def add_sum(rows):
    """A row for the whole step: everything measured beside everything predicted."""
    def total(name):
        values = [row[name] for row in rows if row[name] is not None]
        return sum(values) if values else None
    rows.append({"kernel": "(sum)", "layer": "", "predicted_us": total("predicted_us"), "measured_us": total("measured_us")})


def tell(network, rows):
    for row in rows:
        both = row["predicted_us"] and row["measured_us"]
        row.update({"network": network, "precision": PRECISION, "ratio": row["measured_us"] / row["predicted_us"] if both else None})
        cells = [f"{row[name]:8.2f}" if row[name] is not None else f"{'-':>8}" for name in ("measured_us", "predicted_us", "ratio")]
        say(f"  {network:12} {row['kernel']:22} {row['layer']:8} {cells[0]} us, predicted {cells[1]}, ratio {cells[2]}")


def kernels(machine, _device):
    """Each network's step, kernel by kernel."""
    rows, texts, missing, ncu = machine.details.setdefault("rows", []), [], [], find_ncu()
    for network in NETWORKS:
        expected, unknown = predicted(machine, network)
        found, source, refusal = measured_rows(machine, ncu, network, expected)
        ncu = refusal or ncu  # what it refuses once it would refuse again, at the same cost in time
        for note in filter(None, (unknown, refusal)):
            say(f"  {network}: {note}")
        if not found:
            missing.append(f"{network}: {refusal}")
            continue
        add_sum(found)
        tell(network, found)
        rows += [dict(row, source=source) for row in found]
        total = found[-1]
        texts.append(f"{network} {total['measured_us']:.0f} us by {source}"
                     + (f", {total['predicted_us']:.0f} predicted" if total["predicted_us"] else ""))
    if not texts:
        return Outcome("failed", "; ".join(missing), machine.details)
    return Outcome("passed", "; ".join(texts + [f"SKIPPED: {text}" for text in missing]), machine.details)
