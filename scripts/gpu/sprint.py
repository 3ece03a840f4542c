"""The stage `sprint` of gpu_check: 30 seeds of each network of `trainer sprint`, beside PyTorch's CUDA graph of the same recipe."""
import json
import os

from machine import Outcome, last_line, say

MODELS = ("sprint", "sprint-lean")
SEEDS = 30
LEAST_PERCENT = 99.0
PEER_SEEDS = 10


def ours(machine, model):
    """(the event "end" with what was measured, None) or (None, what is wrong)"""
    ran = machine.run([machine.trainer, "sprint", "--model", model, "--device", "cuda", "--seeds", str(SEEDS), "--no-save", "--json"])
    try:
        end = json.loads(last_line(ran.output))
    except ValueError:
        end = {}
    if ran.code != 0 or end.get("event") != "end":
        return None, f"{model}: exit {ran.code}: {last_line(ran.output)}"
    return end, None


def peers(machine, model):
    """Seconds of each seed of PyTorch's, its accuracies; an error text where there are none: it is a peer, not what is checked."""
    script = os.path.join(machine.root, "benchmarks/torch_sprint_peer.py")
    ran = machine.run([machine.python, script, "--device", "cuda", "--model", model, "--seeds", str(PEER_SEEDS),
                       "--data", os.path.join(machine.root, "data/mnist")], environment=dict(os.environ))
    try:
        return json.loads(last_line(ran.output)) if ran.code == 0 else {"error": f"exit {ran.code}: {last_line(ran.output)}"}
    except ValueError:
        return {"error": last_line(ran.output)}


def against_peer(row):
    runs = row["torch"].get("seeds")
    if not runs:
        return f"no PyTorch: {row['torch']['error']}"
    seconds = sorted(run["seconds"] for run in runs)[len(runs) // 2]
    row["torch_ratio"] = seconds / row["trainer"]["train_and_test_seconds"]["median"]
    return f"PyTorch's graph {1e3 * seconds:.3f} ms, {row['torch_ratio']:.1f} times as long"


def sprint(machine, _device):
    """Fails below 99.0 % on average; times are measured and told, not judged."""
    details, failures, texts = {"rows": []}, [], []
    for model in MODELS:
        end, error = ours(machine, model)
        if error:
            failures.append(error)
            continue
        row = {"model": model, "trainer": end, "torch": peers(machine, model)}
        details["rows"].append(row)
        mean = end["accuracy_percent"]["mean"]
        times = end["train_and_test_seconds"]
        text = (f"{model}: {mean:.3f} %, training + test {1e3 * times['median']:.3f} ms ({1e3 * times['min']:.3f} to "
                f"{1e3 * times['max']:.3f}), process {end['process_seconds']:.3f} s")
        say(f"  {text}; {against_peer(row)}")
        texts.append(text)
        if mean < LEAST_PERCENT:
            failures.append(f"{model}: {mean:.3f} % < {LEAST_PERCENT} %")
    return Outcome("failed", "; ".join(failures), details) if failures else Outcome("passed", "; ".join(texts), details)
