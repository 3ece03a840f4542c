"""What every record says about itself (machine, versions, date, command), where records go, and what the benchmarks
against PyTorch share."""
import argparse
import datetime
import glob
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "records")


def trainer_json(trainer, *arguments, environment=None):
    """Runs the trainer with --json and returns its lines as values."""
    done = subprocess.run([trainer, *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if environment else None, text=True,
                          check=True, env=environment)
    return [json.loads(line) for line in done.stdout.splitlines()]


def said(trainer, *arguments, environment=None):
    """What the trainer prints."""
    return subprocess.run([trainer, *arguments], stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout


def describe(trainer, environment=None):
    """Machine, versions, date and command of a record."""
    report = json.loads(said(trainer, "devices", "--json", environment=environment))
    value = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": " ".join([os.path.relpath(sys.argv[0]), *(os.path.basename(word) if word.startswith("/") else word for word in sys.argv[1:])]),
        "machine": {"cpu": report["cpu"]["model"], "cores": report["cpu"]["cores"],
                    "instruction_set": report["cpu"]["instruction_set"],
                    "memory_bytes": report["cpu"]["memory_bytes"], "system": platform.platform()},
        "versions": {"trainer": said(trainer, "--version", environment=environment).strip(), "python": platform.python_version()},
    }
    if report["gpu"].get("used"):
        value["machine"]["gpu"] = report["gpu"].get("name")
        value["versions"]["gpu_software"] = report.get("gpu_software")
    return value


def write(what, record, path=None):
    """Writes the record under benchmarks/records/, or to a given path, and prints the path."""
    if path is None:
        os.makedirs(FOLDER, exist_ok=True)
        device = record["machine"].get("gpu") or record["machine"]["cpu"]
        machine = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
        path = os.path.join(FOLDER, f"{record['date'][:10]}-{machine}-{what}.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(record, out, indent=1)
        out.write("\n")
    print(f"record: {os.path.relpath(path)}")


def newest(kind):
    """The newest record of a kind for each machine and subject."""
    found = {}
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.json"))):
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
        if value.get("kind") == kind:
            subject = (value.get("model"), value.get("epochs"), value.get("precision", "fp32"), value.get("data"))
            found[(value["machine"]["cpu"], value.get("device_name"), *subject)] = value
    return list(found.values())


def origin(value):
    machine = value["machine"]
    return (f"{machine['cpu']}, {machine['cores']} cores, {machine['instruction_set']}; {value['versions']['trainer']}; "
            f"{value['date'][:10]}; `{value['command']}`")


def spread(values):
    """Median, minimum and maximum of measurements, and all values."""
    ordered = sorted(values)
    return {"median": statistics.median(ordered), "min": ordered[0], "max": ordered[-1], "all": values}


def percent_over_seeds(values):
    """Mean accuracy in percent, its standard error over the seeds, and all values."""
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1))
    return {"mean": mean, "standard_error": deviation / math.sqrt(len(values)), "deviation_over_seeds": deviation,
            "min": min(values), "max": max(values)}


def options_beside_torch(description, models=None):
    """The options of a benchmark that runs the trainer and PyTorch in turn on a CPU; one that has several `models` can run some."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default="build/cpu/trainer/trainer")
    parser.add_argument("--python", default="python3", help="an interpreter with torch and numpy")
    parser.add_argument("--data", default=os.path.join(os.path.dirname(FOLDER), "..", "data", "mnist"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--before", help="an earlier build of the trainer, to run in turn as well, where a benchmark can")
    if models:
        parser.add_argument("--models", nargs="+", choices=models, default=models, metavar="MODEL", help="some of " + ", ".join(models))
    return parser.parse_args()


def timed(command):
    """Seconds of a whole process, from exec to exit."""
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def beside_torch(what, mine, theirs):
    """Returns and prints both sides' seconds and how many times faster the trainer is."""
    sides = {"trainer_seconds": spread(mine), "torch_seconds": spread(theirs)}
    sides["ratio"] = sides["torch_seconds"]["median"] / sides["trainer_seconds"]["median"]
    print(f"{what}: trainer {sides['trainer_seconds']['median']:.3f} s, PyTorch {sides['torch_seconds']['median']:.3f} s, "
          f"{sides['ratio']:.2f} times faster", flush=True)
    return sides
