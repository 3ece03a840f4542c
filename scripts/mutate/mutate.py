"""The command of scripts/mutate.sh: which mutations, their state, progress and figures."""
import argparse
import collections
import datetime
import fcntl
import glob
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import time

import mutations
import rooms
import trial

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.path.join(ROOT, "build", "mutants")
EQUAL = os.path.join(ROOT, "tests", "mutants", "equal.txt")


def wrong(text):
    print(f"error: {text}; the head of scripts/mutate.sh has the rest", file=sys.stderr)
    sys.exit(2)


def options():
    parser = argparse.ArgumentParser(add_help=False)
    parser.error = wrong
    parser.add_argument("files", nargs="*")
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lines")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--resume")
    parser.add_argument("--room-only", action="store_true")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--preset", default="emulated")
    parser.add_argument("--least", type=float, default=100)
    parser.add_argument("--record")
    given = parser.parse_args()
    if given.lines and not re.fullmatch(r"\d+-\d+", given.lines):
        wrong(f"--lines {given.lines}: two numbers, as in 10-25")
    if bool(given.files) == bool(given.resume):
        wrong("name files or folders of kernels, models, data or trainer, or --resume FOLDER")
    return given


def sources(names):
    """The C++ and CUDA files that are meant, relative to the repository."""
    found = []
    for name in names:
        path = os.path.relpath(os.path.abspath(name) if os.path.exists(name) else os.path.join(ROOT, name), ROOT)
        full = os.path.join(ROOT, path)
        if os.path.isdir(full):
            inside = [p for kind in ("cpp", "hpp", "cu", "cuh") for p in glob.glob(os.path.join(full, "**", f"*.{kind}"), recursive=True)]
            found += sorted(os.path.relpath(p, ROOT) for p in inside)
        elif os.path.isfile(full) and path.endswith((".cpp", ".hpp", ".cu", ".cuh")):
            found.append(path)
        else:
            wrong(f"{name}: no C++ or CUDA source and no folder of this repository")
    return list(dict.fromkeys(found))


def all_mutations(paths):
    for path in paths:
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            yield from mutations.mutations_of(path, file.read())


def chosen(given):
    """As many as are wanted, drawn without replacement from all places."""
    first, last = map(int, given.lines.split("-")) if given.lines else (1, sys.maxsize)
    every = [m for m in all_mutations(sources(given.files)) if first <= m.line <= last]
    if given.count is None or given.count >= len(every):
        return every
    return random.Random(given.seed).sample(every, given.count)


def equal_mutations(path=EQUAL):
    """{(path, before, after): why} of tests/mutants/equal.txt: a path, - the line, + the mutated line, and why it cannot be seen."""
    known, where, before, after = {}, None, None, None
    if not os.path.exists(path):
        return known
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if line.startswith("- "):
                before = line[2:]
            elif line.startswith("+ "):
                after = line[2:]
            elif line.startswith("  ") and where and before and after is not None:
                known[(where, before, after)] = line.strip()
            elif not line[0].isspace():
                where, before, after = line, None, None
            else:
                sys.exit(f"error: {path}:{number}: '{line}' is no path, - line, + line or reason")
    return known


class Run:
    """The plan and the results so far, in a folder: plan.json, state.jsonl."""

    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "plan.json"), encoding="utf-8") as file:
            self.plan = json.load(file)
        self.state = os.path.join(folder, "state.jsonl")
        self.done = {}
        if os.path.exists(self.state):
            with open(self.state, "rb+") as file:
                text = file.read()
                file.truncate(text.rfind(b"\n") + 1)  # the last line may have been cut
            for line in text[:text.rfind(b"\n") + 1].splitlines():
                value = json.loads(line)
                self.done[value["name"]] = value

    @staticmethod
    def begin(given):
        folder = os.path.join(WORK, datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S") + f"-seed-{given.seed}")
        os.makedirs(folder)
        plan = {"files": given.files, "count": given.count, "seed": given.seed, "lines": given.lines, "preset": given.preset, "room_only": given.room_only,
                "mutations": [vars(m) | {"name": m.name} for m in chosen(given)]}
        with open(os.path.join(folder, "plan.json"), "w", encoding="utf-8") as file:
            json.dump(plan, file, indent=1)
        return Run(folder)

    def keep(self, value):
        self.done[value["name"]] = value
        with open(self.state, "a", encoding="utf-8") as file:
            file.write(json.dumps(value) + "\n")
            file.flush()
            os.fsync(file.fileno())


def current(planned):
    """The planned mutation in the source as it is now, or None if the line has changed."""
    with open(os.path.join(ROOT, planned["path"]), encoding="utf-8") as file:
        same = [m for m in mutations.mutations_of(planned["path"], file.read()) if (m.before, m.after, m.kind) == (planned["before"], planned["after"], planned["kind"])]
    return min(same, key=lambda m: abs(m.line - planned["line"])) if same else None


def counts(values):
    """{room: {found, all}} and over all; neither equal mutations nor those that do not compile count."""
    table = collections.defaultdict(lambda: {"found": 0, "all": 0})
    for value in values:
        if value["result"] in ("found", "survived"):
            for room in (rooms.room_of(value["path"]), "all"):
                table[room]["all"] += 1
                table[room]["found"] += value["result"] == "found"
    return dict(sorted(table.items(), key=lambda item: (item[0] == "all", item[0])))


def rate(found, every):
    return f"{found} of {every} found" + (f" ({100 * found / every:.1f} %)" if every else "")


def work_through(run, tree, minutes):
    known = equal_mutations()
    begin, tried = time.monotonic(), 0
    open_ones = [m for m in run.plan["mutations"] if m["name"] not in run.done]
    for number, planned in enumerate(open_ones):
        if minutes and time.monotonic() - begin > 60 * minutes:
            break
        start = time.monotonic()
        mutation = current(planned)
        value = {key: planned[key] for key in ("name", "path", "line", "kind", "before", "after")}
        programs = tree.programs_here(rooms.programs_of(planned["path"], ROOT))
        if mutation is None:
            value |= {"result": "moved", "by": "", "stage": ""}
        elif (mutation.path, mutation.before, mutation.after) in known:
            value |= {"result": "equal", "by": known[(mutation.path, mutation.before, mutation.after)], "stage": ""}
        else:
            if not programs:
                sys.exit(f"error: no test program of the preset {tree.preset} is known for {planned['path']}: scripts/mutate/rooms.py has the table")
            tree.measure(programs)
            start = time.monotonic()
            value |= dict(zip(("result", "by", "stage"), tree.trial(mutation, programs, not run.plan["room_only"])))
            tried += 1
        value["seconds"] = round(time.monotonic() - start, 1)
        run.keep(value)
        total = counts(run.done.values()).get("all", {"found": 0, "all": 0})
        left = (time.monotonic() - begin) / max(tried, 1) * (len(open_ones) - number - 1)
        print(f"[{len(run.done)}/{len(run.plan['mutations'])}] {value['result']:<12} {value['path']}:{value['line']} {value['kind']} "
              f"{value['seconds']:.0f} s {value['by']}  -- {rate(total['found'], total['all'])}, {left / 60:.0f} min left", flush=True)


def report(run):
    """Prints survivors and the rates."""
    values = list(run.done.values())
    for value in (v for v in values if v["result"] == "survived"):
        print(f"SURVIVED {value['path']}:{value['line']} ({value['kind']})\n  - {value['before']}\n  + {value['after']}")
    for room, number in counts(values).items():
        print(f"{room:<20} {rate(number['found'], number['all'])}")
    kinds = collections.Counter(v["result"] for v in values)
    print(f"not counted: {kinds['equal']} equal, {kinds['not compiled']} that do not compile; not tried: {len(run.plan['mutations']) - len(values)} "
          f"of {len(run.plan['mutations'])}; seed {run.plan['seed']}; go on with scripts/mutate.sh --resume {os.path.relpath(run.folder, ROOT)}")


def machine(tree):
    """As the trainer that was built describes it."""
    trainer = os.path.join(tree.build_folder, "trainer", "trainer")
    cpu = {"model": platform.machine(), "cores": os.cpu_count(), "instruction_set": "unknown"}
    if os.path.exists(trainer):
        cpu = json.loads(subprocess.run([trainer, "devices", "--json"], stdout=subprocess.PIPE, text=True, check=True).stdout)["cpu"]
    return {"cpu": cpu["model"], "cores": cpu["cores"], "instruction_set": cpu["instruction_set"], "system": platform.platform()}


def write_record(path, run, tree):
    values = list(run.done.values())
    compiler = subprocess.run([os.environ.get("CXX", "c++"), "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[0]
    commit = tree.git("rev-parse", "--short=12", "HEAD").strip()
    version = re.search(r"VERSION (\d+\.\d+\.\d+)", open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8").read().split("project(")[1])
    plan = run.plan
    words = ["scripts/mutate.sh", *plan["files"], *([f"--count {plan['count']}"] if plan["count"] else []), f"--seed {plan['seed']}",
             *(["--room-only"] if plan["room_only"] else [])]
    record = {
        "kind": "mutants", "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"), "command": " ".join(words),
        "machine": machine(tree),
        "versions": {"trainer": f"trainer {version.group(1)} {commit}", "python": platform.python_version(), "compiler": compiler},
        "preset": plan["preset"], "whole_suite": not plan["room_only"], "planned": len(plan["mutations"]), "rooms": counts(values),
        "results": dict(collections.Counter(v["result"] for v in values)),
        "found_by_stage": dict(collections.Counter(v["stage"] for v in values if v["result"] == "found")),
        "survivors": [{k: v[k] for k in ("path", "line", "kind", "before", "after")} for v in values if v["result"] == "survived"],
        "seconds": round(sum(v["seconds"] for v in values)),
        "mutations": [{k: v[k] for k in ("path", "line", "kind", "before", "after", "result", "by")} for v in values],
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.write("\n")
    print(f"record: {os.path.relpath(path)}")


def main():
    given = options()
    if given.list:
        every = chosen(given)
        for m in every:
            print(f"{m.path}:{m.line} {m.kind}\n  - {m.before}\n  + {m.after}")
        print(f"{len(every)} mutations")
        return 0
    if given.resume and not os.path.exists(os.path.join(given.resume, "plan.json")):
        wrong(f"--resume {given.resume}: no folder of a run, which are {os.path.relpath(WORK)}/DATE-seed-N")
    sources(given.files)  # are there
    os.makedirs(WORK, exist_ok=True)
    lock = open(os.path.join(WORK, ".lock"), "w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"error: another run works in {WORK}: wait for it, or end it and go on with --resume")
    run = Run(given.resume) if given.resume else Run.begin(given)
    print(f"{len(run.plan['mutations'])} mutations, seed {run.plan['seed']}, state in {os.path.relpath(run.folder)}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copy is put right and no child goes on
    tree = trial.Tree(ROOT, os.path.join(WORK, "tree"), run.plan["preset"])
    tree.prepare()
    tree.configure()
    work_through(run, tree, given.minutes)
    report(run)
    if given.record:
        write_record(given.record, run, tree)
    total = counts(run.done.values()).get("all", {"found": 1, "all": 1})
    return 1 if 100 * total["found"] < given.least * total["all"] else 0


if __name__ == "__main__":
    sys.exit(main())
