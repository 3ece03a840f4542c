#!/usr/bin/env python3
"""Runs the fuzz targets one after the other; scripts/fuzz.sh builds them and says what the options mean."""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import record  # noqa: E402

PROGRAM = ROOT / "build/fuzz/tests/fuzz/fuzz"
HERE = ROOT / "tests/fuzz"
# Anything slower or larger than this is a fault: an input has a few KiB.
LIMITS = ["-timeout=10", "-rss_limit_mb=3072", "-malloc_limit_mb=1024"]
# Short stacks of allocations and a small quarantine make it several times as fast; a found input is looked at with the defaults.
SANITIZERS = {"ASAN_OPTIONS": "malloc_context_size=2:quarantine_size_mb=16:thread_local_quarantine_size_kb=256",
              "UBSAN_OPTIONS": "print_stacktrace=1"}


def all_targets():
    """The names that the program lists when it is called without one."""
    said = subprocess.run([PROGRAM], stderr=subprocess.PIPE, text=True, check=False).stderr
    return said.split("one of", 1)[1].split() if "one of" in said else []


def dictionary(target, folder):
    """The words of the seeds, and those of a network's guide, as libFuzzer wants them."""
    words = set()
    files = list((HERE / "seeds" / target).iterdir())
    if target in ("network", "checkpoint", "safetensors"):
        files.append(ROOT / "models/README.md")
    for file in files:
        words |= set(re.findall(rb"[A-Za-z_][A-Za-z0-9_.-]{2,30}", file.read_bytes()))
    path = folder / f"{target}.dict"
    path.write_text("".join(f'"{word.decode()}"\n' for word in sorted(words)) or "# none\n", encoding="ascii")
    return path


def number(pattern, text, default=0):
    found = re.findall(pattern, text)
    return int(found[-1]) if found else default


def fuzz(target, seconds, runs, scratch):
    """One target; returns its row of the table."""
    corpus, found = ROOT / "build/fuzz/corpus" / target, HERE / "found" / target
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    before, known = set(os.listdir(corpus)), set(os.listdir(found))
    command = [str(PROGRAM), f"--target={target}", f"-max_total_time={max(1, round(seconds))}", f"-runs={runs or -1}", "-print_final_stats=1",
               f"-dict={dictionary(target, scratch)}", f"-artifact_prefix={found}/", *LIMITS, str(corpus), str(HERE / "seeds" / target)]
    if known:
        command.append(str(found))
    log = ROOT / "build/fuzz/logs" / f"{target}.log"
    log.parent.mkdir(exist_ok=True)
    begin = time.monotonic()
    with open(log, "w", encoding="utf-8") as out:
        status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **SANITIZERS, "TMPDIR": str(scratch)},
                                check=False).returncode
    took = time.monotonic() - begin
    said = log.read_text(encoding="utf-8", errors="replace")
    cases = sorted(set(os.listdir(found)) - known)
    if not known and not cases:
        found.rmdir()
    ran = number(r"stat::number_of_executed_units: +(\d+)", said)
    row = {"target": target, "runs": ran, "seconds": round(took, 1), "edges": number(r"cov: (\d+)", said), "features": number(r"ft: (\d+)", said),
           "inputs": len(os.listdir(corpus)), "new_inputs": len(set(os.listdir(corpus)) - before), "found": cases}
    if status != 0 or cases:
        row["found"] = cases or [f"exit code {status}"]
        shown = re.findall(r"^(?:error: a property|SUMMARY|==\d+==ERROR|Base64:|.*runtime error).*", said, re.MULTILINE)
        print(f"FOUND: {target}: {', '.join(row['found'])}; the whole output: {log}", *shown, sep="\n  ", file=sys.stderr)
    return row


def finds_planted_fault(scratch):
    """Whether this build finds the fault that is planted for it: if not, that it finds no other says nothing."""
    done = subprocess.run([PROGRAM, "--target=planted", "-max_total_time=60", f"-artifact_prefix={scratch}/"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, env={**os.environ, **SANITIZERS}, check=False)
    return b"heap-buffer-overflow" in done.stderr


def table(rows):
    lines = [f"{'target':<12}{'runs':>12}{'runs/s':>9}{'edges':>8}{'features':>10}{'inputs':>8}{'new':>6}{'found':>7}"]
    for row in [*rows, {"target": "all", "runs": sum(r["runs"] for r in rows), "seconds": sum(r["seconds"] for r in rows), "edges": "",
                        "features": "", "inputs": sum(r["inputs"] for r in rows), "new_inputs": sum(r["new_inputs"] for r in rows),
                        "found": [case for r in rows for case in r["found"]]}]:
        lines.append(f"{row['target']:<12}{row['runs']:>12}{row['runs'] / max(row['seconds'], 0.1):>9.0f}{row['edges']:>8}{row['features']:>10}"
                     f"{row['inputs']:>8}{row['new_inputs']:>6}{len(row['found']):>7}")
    return "\n".join(lines)


def add_earlier(record_of, rows, targets):
    """Adds the runs of an earlier record to those of the same targets."""
    earlier = {row["target"]: row for row in record_of["targets"]}
    for row in rows:
        before = earlier.pop(row["target"], {"runs": 0, "seconds": 0, "edges": 0, "features": 0, "new_inputs": 0, "found": []})
        for key in ("runs", "seconds", "new_inputs"):
            row[key] = round(row[key] + before[key], 1)
        for key in ("edges", "features"):
            row[key] = max(row[key], before[key])
        row["found"] = before["found"] + row["found"]
    rows.extend(earlier.values())
    rows.sort(key=lambda row: targets.index(row["target"]))


def main():
    targets = all_targets()
    parser = argparse.ArgumentParser(prog="fuzz.sh", usage="fuzz.sh [--seconds N] [--runs N] [--record FILE [--add FILE]] [--no-build] [TARGET...]")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--record")
    parser.add_argument("--add")
    parser.add_argument("--no-build", action="store_true")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {' '.join(targets)}")
    options = parser.parse_args()
    unknown = [name for name in options.targets if name not in targets]
    if unknown:
        parser.error(f"no target is called {unknown[0]}: one of {' '.join(targets)}")
    chosen = options.targets or targets
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="trainer-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    try:
        if not finds_planted_fault(scratch):
            sys.exit("error: the planted fault was not found within a minute: tests/fuzz/libfuzzer.cpp has it, build/fuzz.compile.log how it was built")
        end, rows = time.monotonic() + options.seconds, []
        for position, target in enumerate(chosen):
            rows.append(fuzz(target, (end - time.monotonic()) / (len(chosen) - position), options.runs, scratch))
            print(f"{target}: {rows[-1]['runs']} runs, {rows[-1]['edges']} edges", file=sys.stderr)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    found = any(row["found"] for row in rows)
    earlier = json.loads(pathlib.Path(options.add).read_text(encoding="utf-8")) if options.add else None
    if earlier:
        add_earlier(earlier, rows, targets)
    print(table(rows))
    if options.record:
        compiler = subprocess.run(["clang++", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[0]
        value = {"kind": "fuzz", **record.describe(str(ROOT / "build/cpu/trainer/trainer")), "runs": sum(row["runs"] for row in rows), "targets": rows}
        value["command"] = " ".join(["scripts/fuzz.sh", *(word for word in sys.argv[1:] if word != "--no-build")])
        if earlier:
            value["command"] = f"{earlier['command']}, then {value['command']}"
        value["versions"]["compiler"] = compiler
        record.write("fuzz", value, options.record)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
