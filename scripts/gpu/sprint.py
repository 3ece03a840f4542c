"""The stage `sprint` of gpu_check: 30 seeds of each network of `trainer sprint` in each precision, with the SM clock before,
during and after, beside PyTorch's CUDA graph of the same recipe. --first leaves out the peer and the whole process."""
import json
import os
import sys

from machine import Outcome, last_line, say

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../benchmarks"))
import nvml  # pylint: disable=wrong-import-position

MODELS = ("sprint", "sprint-lean")
SEEDS = 30
LEAST_PERCENT = 99.0
PEER_SEEDS = 10


def ours(machine, model, precision=None):
    """(the event "end" with the measurements, None) or (None, what is wrong); by default in the recipe's precision."""
    more = ["--precision", precision] if precision else []
    more += ["--no-process"] if machine.plan == "first" else []
    ran = machine.run([machine.trainer, "sprint", "--model", model, "--device", "cuda", "--seeds", str(SEEDS), "--no-save", "--json",
                       *more])
    try:
        end = json.loads(last_line(ran.output, None))
    except ValueError:
        end = {}
    if ran.code != 0 or end.get("event") != "end":
        return None, f"{model}{f' in {precision}' if precision else ''}: exit {ran.code}: {last_line(ran.output)}"
    return end, None


def clock_of(machine, model):
    """The SM clock during a separate run, since reading it may slow the run down; None if it cannot be read."""
    with nvml.ClockWatch(nvml.Gpu()) as watch:
        ours(machine, model)
    return watch.megahertz


def text_of(model, end):
    times = end["train_and_test_seconds"]
    return (f"{model}: {end['accuracy_percent']['mean']:.3f} %, training + test {1e3 * times['median']:.3f} ms "
            f"({1e3 * times['min']:.3f} to {1e3 * times['max']:.3f})"
            + (f", process {end['process_seconds']:.3f} s" if "process_seconds" in end else ""))


def in_precisions(machine, model, device):
    """Measures each precision that the GPU has and reports it without judging; a recipe lists those that keep the accuracy."""
    rows = {}
    for precision in ("fp32", "tf32", "fp16", "bf16") if device["gpu"]["major"] >= 8 else ("fp32", "fp16"):
        end, error = ours(machine, model, precision)
        rows[precision] = end or {"error": error}
        say(f"  {error or text_of(f'{model} in {precision}', end)}")
    return rows


def peers(machine, model):
    """PyTorch's seconds and accuracies per seed, or an error text: it is a peer, not the subject of the check."""
    script = os.path.join(machine.root, "benchmarks/torch_sprint_peer.py")
    ran = machine.run([machine.python, script, "--device", "cuda", "--model", model, "--seeds", str(PEER_SEEDS),
                       "--data", os.path.join(machine.root, "data/mnist")], environment=dict(os.environ))
    try:
        return json.loads(last_line(ran.output, None)) if ran.code == 0 else {"error": f"exit {ran.code}: {last_line(ran.output)}"}
    except ValueError:
        return {"error": last_line(ran.output)}


def against_peer(row):
    runs = row["torch"].get("seeds")
    if not runs:
        return f"no PyTorch: {row['torch']['error']}"
    seconds = sorted(run["seconds"] for run in runs)[len(runs) // 2]
    row["torch_ratio"] = seconds / row["trainer"]["train_and_test_seconds"]["median"]
    return f"PyTorch's graph {1e3 * seconds:.3f} ms, {row['torch_ratio']:.1f} times as long"


def sprint(machine, device):
    """Fails below 99.0 % on average; times are measured and reported, but not judged."""
    details, failures, texts = machine.details, [], []
    details["rows"] = []
    for model in MODELS:
        end, error = ours(machine, model)
        if error:
            failures.append(error)
            continue
        row = {"model": model, "trainer": end}
        details["rows"].append(row)
        if machine.plan != "first":
            row["torch"] = peers(machine, model)
        say(f"  {text_of(model, end)}" + (f"; {against_peer(row)}" if "torch" in row else ""))
        row["sm_megahertz"] = clock_of(machine, model)
        row["precisions"] = in_precisions(machine, model, device)
        texts.append(text_of(model, end))
        mean = end["accuracy_percent"]["mean"]
        if mean < LEAST_PERCENT:
            failures.append(f"{model}: {mean:.3f} % < {LEAST_PERCENT} %")
    return Outcome("failed", "; ".join(failures), details) if failures else Outcome("passed", "; ".join(texts), details)
