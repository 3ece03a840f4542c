"""Most stages of gpu_check: each takes a Machine and the first device report and returns an Outcome."""
import hashlib
import json
import os
import re
import tempfile

from machine import Outcome, OutOfTime, last_line, say

# Test programs, and the filter for their GPU cases: ops and steps against the double reference, the
# backend's own promises, whole trainings against the CPU's.
TESTS = [("conformance_test", "*cuda*"), ("step_test", "*cuda*"), ("backend_test", "*cuda*:Gpu.*"), ("gpu_training_test", "*-*GpuWorld*")]

# The tests that replay a graph and compare it with the same calls made one by one.
REPLAYS = [("backend_test", "*RecordedStepsTrainAsTheCallsThemselvesDo/cuda*"),
           ("gpu_training_test", "*IsItsStepsOneByOne*:*TheSameSeedGivesTheSameBits*")]

# Network, epochs (None: its recipe's), seeds, minimum mean test accuracy in percent; all 10,000 images, last weights, no views.
ACCURACY = [("quick", 1, 10, 99.0), ("quick", None, 10, 99.2), ("lenet", None, 3, 98.9), ("cntk-sample", None, 3, 98.0),
            ("cntk-convnet", None, 5, 99.4), ("tf-convolutional", None, 3, 99.1), ("pytorch-example", None, 3, 99.0),
            ("tf-sample", None, 3, 95.0), ("sprint-995", None, 10, 99.4),
            ("accurate", None, 10, 99.7), ("accurate-small", None, 10, 99.62)]

PRECISION_SEEDS = 10

# Kernels and copies of a training step if all of them are ours; the number of nodes of a call of NVIDIA's libraries is
# known only from a record.
MOST_NODES = {"quick": 9, "sprint": 12, "sprint-lean": 12}
NETWORKS = ["accurate", "accurate-small", "quick", "lenet", "cntk-sample", "cntk-convnet", "pytorch-example", "sprint", "sprint-995", "sprint-lean",
            "sprint-lean-views", "tf-convolutional", "tf-sample"]


def prove(machine, _device):
    """A training with portable bits ends on the GPU with the digest that the program knows."""
    details = machine.details
    ran = machine.run([machine.trainer, "doctor", "--prove", "--device", "cuda", "--json"])
    details["run"] = ran.json()
    try:
        proof = json.loads(ran.output)
    except ValueError:
        return Outcome("failed", f"doctor --prove ended with {ran.code}: {last_line(ran.output)}", details)
    details["proof"] = proof
    wrong = "; ".join(proof.get("odd", [])) or proof["verdict"]
    return Outcome("failed", wrong, details) if ran.code != 0 else Outcome("passed", proof["verdict"], details)


def report(machine, device):
    """The device report as a user sees it; the program must hold code for this GPU."""
    ran = machine.run([machine.trainer, "devices"])
    say(ran.output.rstrip())
    details = machine.details
    details.update({"text": ran.json(), "json": device, "start_seconds": dict(machine.starts, held=round(ran.seconds, 3))})
    block = [r"^Found device \d+ with properties:$", r"^name: .+$", r"^major: \d+ minor: \d+ memoryClockRate \(GHz\) \S+$",
             r"^pciBusID [0-9a-f:.]+$", r"^Total memory: [\d.]+GiB$", r"^Free memory: [\d.]+GiB$"]
    missing = [line for line in block if not re.search(line, ran.output, re.MULTILINE)]
    if ran.code != 0 or missing:
        return Outcome("failed", f"exit {ran.code}, lines that are not there: {missing}", details)
    gpu = device["gpu"]
    code = (gpu.get("code") or {}).get("text", "code for it: not told")
    return Outcome("passed", f"{gpu.get('name')}, {code}", details)


def run_program(machine, name, only, details):
    """One test program: (how many cases ran on the GPU, None or what is wrong)."""
    if not os.access(machine.test_program(name), os.X_OK):
        return 0, f"{name} is not built"
    ran, cases = machine.run_tests(name, only)
    details[name] = {"run": ran.json(), "cases": cases}
    if cases is None:
        return 0, f"{name} died with {ran.code}: {last_line(ran.output)}"
    on_gpu = [case for case in cases["ran"] if re.search("cuda|gpu", case, re.IGNORECASE)]
    say(f"  {name}: {len(on_gpu)} on the GPU, {len(cases['failed'])} failed, {len(cases['skipped'])} skipped, "
        f"{ran.seconds:.1f} s")
    for case in cases["failed"]:
        say(f"    failed: {case}")
    if cases["failed"] or ran.code != 0:
        return len(on_gpu), f"{name}: {len(cases['failed'])} failed, exit {ran.code}"
    return len(on_gpu), None if on_gpu else f"{name} ran nothing on a GPU"


def run_programs(machine, programs, details):
    """(a text of the counts, the failures as texts)"""
    texts, failures = [], []
    for name, only in programs:
        count, wrong = run_program(machine, name, only, details)
        texts.append(f"{name} {count}")
        failures += [wrong] if wrong else []
    return ", ".join(texts), failures


def conformance(machine, _device):
    """Runs every test of an op, a step or a training that has a GPU variant on the device."""
    details = machine.details
    text, failures = run_programs(machine, TESTS, details)
    if failures:
        return Outcome("failed", "; ".join(failures), details)
    return Outcome("passed", f"cases on the GPU: {text}", details)


def weights_of(machine, folder, seed):
    """Trains `quick` for a short epoch and hashes the saved weights."""
    out = os.path.join(folder, f"run{len(os.listdir(folder))}")
    ran, _ = machine.train("--model", "quick", "--limit-train", "6000", "--epochs", "1", "--seed", str(seed), "--out", out)
    if ran.code != 0:
        return ran, None
    with open(os.path.join(out, "model.safetensors"), "rb") as file:
        return ran, hashlib.sha256(file.read()).hexdigest()


def replay(machine, _device):
    """A recorded step gives the same bits as the same calls made one by one; a repeated run gives the same bits."""
    details = machine.details
    _, failures = run_programs(machine, REPLAYS, details)
    if failures:
        return Outcome("failed", "; ".join(failures), details)
    hashes = []
    with tempfile.TemporaryDirectory(dir=machine.work) as folder:
        for seed in (1, 1, 2):
            ran, found = weights_of(machine, folder, seed)
            if found is None:
                return Outcome("failed", f"training: exit {ran.code}: {last_line(ran.output)}", details)
            hashes.append(found)
    details["weights_sha256"] = dict(zip(("seed 1", "seed 1 again", "seed 2"), hashes))
    if hashes[0] != hashes[1] or hashes[0] == hashes[2]:
        return Outcome("failed", f"the weights of seeds 1, 1 and 2 hash to {[h[:12] for h in hashes]}", details)
    return Outcome("passed", "recorded = eager, and the same seed gives the same weights, to the bit", details)


def nodes(machine, _device):
    """The nodes in the graph of one training step, as the program counts them on the device."""
    details, failures, texts = machine.details, [], []
    for model in NETWORKS:
        ran, events = machine.train("--model", model, "--limit-train", "2400", "--epochs", "1", "--no-save")
        count = events.get("end", {}).get("graph_nodes")
        details[model] = {"graph_nodes": count, "run": ran.json()}
        most = MOST_NODES.get(model)
        say(f"  {model}: {count} nodes a step" + (f", {most} at most" if most else ", recorded"))
        texts.append(f"{model} {count}")
        if ran.code != 0:
            failures.append(f"{model}: exit {ran.code}: {last_line(ran.output)}")
        elif not isinstance(count, int) or count < 1:
            failures.append(f"{model}: the event \"end\" tells no graph_nodes")
        elif most and count > most:
            failures.append(f"{model}: {count} nodes, {most} are the most")
    return Outcome("failed", "; ".join(failures), details) if failures else Outcome("passed", ", ".join(texts), details)


def accuracy_of(machine, model, epochs, seeds, precision=None):
    """The percentages of the seeds, in order, or an error text if a training fails."""
    values = []
    for seed in range(1, seeds + 1):
        more = ["--epochs", str(epochs)] if epochs else []
        more += ["--precision", precision] if precision else []
        ran, events = machine.train("--model", model, "--seed", str(seed), "--no-save", *more)
        test = events.get("end", {}).get("test", {})
        if ran.code != 0 or test.get("images") != 10000:
            return values, f"{model}, seed {seed}: exit {ran.code}: {last_line(ran.output)}"
        values.append({"seed": seed, "percent": 100 * test["accuracy"], "seconds": events["end"]["seconds"],
                       "epoch_seconds": [event["seconds"] for event in events["epoch"]]})
    return values, None


def accuracy(machine, _device):
    """Each network with its recipe: the mean over a few seeds, none left out, against its minimum."""
    details, failures = machine.details, []
    details["rows"] = []
    for model, epochs, seeds, least in ACCURACY:
        row = {"model": model, "epochs": epochs or "recipe", "seeds": seeds, "least_percent": least}
        details["rows"].append(row)
        try:
            row["runs"], error = accuracy_of(machine, model, epochs, seeds)
        except OutOfTime as late:
            failures.append(f"{model}: {late}")
            break
        if error:
            failures.append(error)
            continue
        values = [run["percent"] for run in row["runs"]]
        row["mean_percent"] = sum(values) / len(values)
        good = row["mean_percent"] >= least
        say(f"  {model:17} {str(row['epochs']):>6} epochs, {seeds:2} seeds: mean {row['mean_percent']:.3f} %, "
            f"{min(values):.2f} to {max(values):.2f}, at least {least:.2f}: {'reached' if good else 'MISSED'}")
        if not good:
            failures.append(f"{model}: {row['mean_percent']:.3f} % < {least} %")
    if failures:
        return Outcome("failed", "; ".join(failures), details)
    return Outcome("passed", f"{len(ACCURACY)} rows reach their minimum", details)


def precisions(machine, device):
    """Each network with its recipe in each precision, to see which a recipe may list. It measures but does not judge."""
    words = ["fp32", "tf32", "fp16", "bf16"] if device["gpu"]["major"] >= 8 else ["fp32", "fp16"]
    details, kept, errors = machine.details, {}, []
    details["rows"] = []
    for model in NETWORKS:
        exact = None
        for precision in words:
            row = {"model": model, "precision": precision, "seeds": PRECISION_SEEDS}
            details["rows"].append(row)
            try:
                row["runs"], row["error"] = accuracy_of(machine, model, None, PRECISION_SEEDS, precision)
            except OutOfTime as late:
                return Outcome("failed", f"{model}, {precision}: {late}", details)
            if row["error"]:
                say(f"  {model:17} {precision}: {row['error']}")
                errors.append(f"{precision}: {row['error']}")
                continue
            row["mean_percent"] = sum(run["percent"] for run in row["runs"]) / PRECISION_SEEDS
            row["median_seconds"] = sorted(run["seconds"] for run in row["runs"])[PRECISION_SEEDS // 2]
            exact = row["mean_percent"] if precision == "fp32" else exact
            if exact is None:
                say(f"  {model:17} {precision}: mean {row['mean_percent']:.3f} %, no fp32 to compare with")
                continue
            row["keeps_accuracy"] = row["mean_percent"] >= exact - 0.05
            if precision != "fp32" and row["keeps_accuracy"]:
                kept.setdefault(model, []).append(precision)
            say(f"  {model:17} {precision}: mean {row['mean_percent']:.3f} %, {row['median_seconds']:.3f} s"
                f"{'' if row['keeps_accuracy'] else ', MORE THAN 0.05 POINTS BELOW fp32'}")
    text = "; ".join(f"{model}: {', '.join(names)}" for model, names in kept.items())
    if errors:
        return Outcome("failed", "; ".join(errors), details)
    return Outcome("passed", f"as good as fp32: {text or 'none'}", details)


def benchmark_round(machine, out, seconds, more):
    """One run of benchmarks/gpu_vs_torch.py: ({"run", "record"}, None or what is wrong)."""
    if os.path.exists(out):
        os.remove(out)
    command = [machine.python, "-u", os.path.join(machine.root, "benchmarks/gpu_vs_torch.py"), "--trainer", machine.trainer,
               "--trainer-libraries", machine.libraries, "--out", out, "--side-by-side", "--seconds", str(int(seconds)), *more]
    ran = machine.run(command, environment=dict(os.environ), echo=True)
    found = {"run": ran.json()}
    try:
        with open(out, encoding="utf-8") as file:
            found["record"] = json.load(file)
    except (OSError, ValueError) as error:
        return found, f"exit {ran.code}, no record ({error}): {last_line(ran.output)}"
    return found, f"exit {ran.code}: {last_line(ran.output)}" if ran.code != 0 else None


def benchmark(machine, _device):
    """Runs benchmarks/gpu_vs_torch.py; its record becomes a part of this one. It measures and reports but does not judge. If
    the whole check is short of time, the peers that start fastest are measured first."""
    out = os.path.join(machine.work, "gpu_vs_torch.json")
    rounds = [(1, [])]
    if machine.plan:
        rounds = [(0.6, ["--models", "quick", "--engines", "torch-eager,torch-graph,jax"]),
                  (1, ["--models", "quick", "--engines", "torch-compile"])]
    machine.details["rounds"] = []
    for share, more in rounds:
        seconds = share * machine.remaining() - 15
        found, wrong = benchmark_round(machine, out, seconds, ["--prepare-seconds", str(int(seconds * 0.6)), *more])
        machine.details["rounds"].append(found)
        if wrong:
            return Outcome("failed", wrong, machine.details)
    summaries = [found["record"].get("summary", "measured") for found in machine.details["rounds"]]
    return Outcome("passed", "; ".join(summaries), machine.details)
