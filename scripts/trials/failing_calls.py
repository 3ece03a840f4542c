"""failing_calls.sh: each call of a short run of the program fails once, and the program ends in order."""
import argparse
import collections
import concurrent.futures
import json
import os
import random
import re
import shutil
import signal
import sys
import time

import commands
import points
import world

sys.path.insert(0, os.path.join(world.ROOT, "benchmarks"))
import record  # noqa: E402

# Libraries that may end the process themselves: by what they say, and by their file, where they crash.
LIBRARIES = {"libgomp (OpenMP)": (re.compile(r"^libgomp: ", re.MULTILINE), "libgomp"), "oneDNN": (re.compile(r"(?!)"), "libdnnl"),
             "libcrypto (OpenSSL)": (re.compile(r"(?!)"), "libcrypto"), "libstdc++ (std::filesystem::path)": (re.compile(r"(?!)"), "libstdc++")}
SANITIZED = re.compile(r"(LeakSanitizer|AddressSanitizer|runtime error): .*")


def library_of(ended, happened):
    """The library that has ended the process; empty: none has."""
    crash = next((line.split()[1:] for line in happened.splitlines() if line.startswith("crash ")), [])
    inner = [frame for frame in crash if not frame.startswith(("libfailing_calls", "libc.so"))]
    return next((name for name, (said, file) in LIBRARIES.items() if said.search(ended.err) or (inner and inner[0].startswith(file))), "")


def names_its_cause(point, happened, message):
    """Whether a message says which thing failed. Threads call in another order each time, so what failed is in the log."""
    if point.kind == "memory":
        return "memory" in message or "cannot" in message
    if point.kind == "gpu":
        return "cuda" in message.lower() or "GPU" in message
    _, name, path = (happened.splitlines() or ["0 - -"])[0].split(" ", 2)
    return name == "pthread_create" or path == "-" or os.path.basename(path).removesuffix(".partial").lstrip(".") in message or os.path.basename(os.path.dirname(path)) in message


class Trial:
    """One point."""

    def __init__(self, options, number, point):
        self.options, self.point, self.number = options, point, number
        self.scenario = options.scenarios[point.scenario]
        self.chance = random.Random(f"{options.seed}:{number}")

    def start(self, point):
        place, command = self.scenario.place, self.scenario.command
        more = {**command.environment(self.folder), **(point.variables() if point else {})}
        return place.run(self.folder, command.words(self.folder, random.Random(0)), more=more, failing=point.failing() if point else "", log=self.log)

    def wrong_in_order(self, ended, happened):
        """What is wrong with how it ended. A network's file that cannot be read counts as wrong usage."""
        found = []
        if (match := SANITIZED.search(ended.err)) is not None:
            found.append(match.group(0))
        errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
        if self.library:
            return found
        refused = ended.status == 1 or (ended.status == 2 and "/models" in happened)
        if refused and len(errors) != 1:
            found.append("no line says what failed" if not errors else "several lines say what failed")
        elif refused and not names_its_cause(self.point, happened, errors[0]):
            found.append("the message does not name what failed")
        elif ended.status != 0 and not refused:
            found.append(f"ended by signal {signal.Signals(-ended.status).name}" if isinstance(ended.status, int) and ended.status < 0 else f"status {ended.status}")
        return found

    def run(self):
        place, command = self.scenario.place, self.scenario.command
        self.folder, self.log = self.scenario.folder(f"point-{self.number}"), os.path.join(place.folder, f"point-{self.number}.log")
        ended = self.start(self.point)
        happened = ""
        if os.path.exists(self.log):
            with open(self.log, encoding="utf-8", errors="replace") as file:
                happened = file.read().strip()
            os.remove(self.log)
        self.library = library_of(ended, happened)
        found = self.wrong_in_order(ended, happened) + world.damage(self.folder)
        if ended.status == 0:
            found += [text for text in command.wrong_in_the_end(self.folder) if not text.startswith("left behind")]
        elif not found and (self.point.kind != "memory" or self.chance.random() < 0.1):
            again = self.start(None)
            found += [f"given again: {again.text()}"] if again.status != 0 else command.wrong_in_the_end(self.folder)
        shutil.rmtree(self.folder)
        return {"point": self.point.text(), "number": self.number, "scenario": self.point.scenario, "kind": self.point.kind, "status": ended.status,
                "library": self.library, "happened": happened or self.point.kind == "gpu" and "as planned", "found": found, "said": ended.text() if found else ""}


def options_given():
    parser = argparse.ArgumentParser(prog="failing_calls.sh", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="number of points, drawn at random; 0: all [200]")
    parser.add_argument("--seconds", type=float, default=0, help="try no further points after so many seconds [until all are tried]")
    parser.add_argument("--seed", type=int, default=None, help="of all that is drawn [the time]")
    parser.add_argument("--case", type=int, default=None, help="this point alone, as a failure names it")
    parser.add_argument("--kinds", nargs="+", default=["files", "memory", "gpu"], choices=("files", "memory", "gpu"))
    parser.add_argument("--scenarios", nargs="+", default=list(points.SCENARIOS), choices=points.SCENARIOS)
    parser.add_argument("--trainer", default=os.path.join(world.ROOT, "build/emulated/trainer/trainer"))
    parser.add_argument("--preload", default="", help="tests/failing_calls, built [beside the trainer's folder]")
    parser.add_argument("--jobs", type=int, default=2, help="points at a time [2]")
    parser.add_argument("--record", nargs="?", const="", metavar="FILE", help="write a record [to benchmarks/records]")
    options = parser.parse_args()
    options.seed = int(time.time()) if options.seed is None else options.seed
    options.trainer = world.built(options.trainer, "build it with scripts/build.sh emulated trainer, or name another with --trainer")
    options.preload = world.built(options.preload or os.path.join(os.path.dirname(os.path.dirname(options.trainer)), "tests/libfailing_calls.so"),
                                  "build it with TRAINER_TESTS=ON scripts/build.sh emulated failing_calls")
    return options


def all_points(options):
    """Those of each scenario, always in the same order."""
    chance, seen, found = random.Random(options.seed), set(), []
    options.scenarios = {name: points.Scenario(options.commands[name], chance) for name in options.scenarios}
    for scenario in list(options.scenarios.values()):
        found += points.file_points(scenario, chance) if "files" in options.kinds else []
        found += points.memory_points(scenario, chance, seen) if "memory" in options.kinds and not options.place.sanitizer else []
    if "memory" in options.kinds and options.place.sanitizer:
        print("SKIPPED: memory: the sanitizer has malloc to itself", flush=True)
    if "gpu" in options.kinds:
        gpu = points.Scenario(points.Gpu(options.place), chance) if options.emulated else None
        if gpu is None:
            print("SKIPPED: gpu: this program has no emulated GPU", flush=True)
        else:
            options.scenarios["gpu"] = gpu
            found += points.gpu_points(gpu)
    return found


def drawn(options, found):
    """As many of each kind, or all that there are."""
    chance = random.Random(options.seed)
    kinds = {kind: [one for one in enumerate(found) if one[1].kind == kind] for kind in {point.kind for point in found}}
    chosen = []
    for turn, (kind, numbered) in enumerate(sorted(kinds.items(), key=lambda item: (len(item[1]), item[0]))):
        share = (options.count - len(chosen)) // (len(kinds) - turn)
        chosen += chance.sample(numbered, len(numbered) if options.count == 0 else min(len(numbered), share))
    return chosen


def rows_of(found, results):
    rows = []
    for scenario, kind in sorted({(point.scenario, point.kind) for point in found}):
        those = [result for result in results if (result["scenario"], result["kind"]) == (scenario, kind)]
        rows.append({"scenario": scenario, "kind": kind, "points": sum((point.scenario, point.kind) == (scenario, kind) for point in found), "tried": len(those),
                     "failed": sum(bool(result["happened"]) for result in those), "status_0": sum(result["status"] == 0 for result in those),
                     "status_1": sum(result["status"] == 1 and not result["library"] for result in those), "status_2": sum(result["status"] == 2 for result in those),
                     "by_library": sum(bool(result["library"]) for result in those), "wrong": sum(bool(result["found"]) for result in those)})
    return rows


def is_emulated(place):
    """Whether the program has the emulated GPU, which then writes its report."""
    report = os.path.join(place.folder, "report")
    place.run(place.folder, [place.trainer, "devices"], more={"CUDA_VISIBLE_DEVICES": "0", "TRAINER_EMULATOR_REPORT": report})
    return os.path.exists(report)


def main():
    options = options_given()
    print(f"seed {options.seed}; a point that goes wrong is repeated by --seed {options.seed} --case N", flush=True)
    load, results = os.getloadavg(), []
    options.place = world.World(options.trainer, options.preload, train=320, test=32)
    try:
        options.commands = commands.all_commands(options.place)
        options.emulated = is_emulated(options.place)
        found = all_points(options)
        tried = drawn(options, found) if options.case is None else [(options.case, found[options.case])]
        print(f"{len(found)} points, of which {len(tried)} are tried", flush=True)
        progress = world.Progress(len(tried))
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for future in concurrent.futures.as_completed([pool.submit(lambda one: Trial(options, *one).run(), one) for one in tried]):
                results.append(future.result())
                if results[-1]["found"]:
                    print("FAILED: " + json.dumps(results[-1], indent=1), flush=True)
                progress.line(len(results), f"{sum(bool(result['found']) for result in results)} went wrong")
                if options.seconds and time.monotonic() - progress.begin > options.seconds:
                    break
            pool.shutdown(cancel_futures=True)
    finally:
        options.place.remove()
    rows = rows_of(found, results)
    if options.record is not None:
        sys.argv[0] = os.path.join(world.ROOT, "scripts/failing_calls.sh")
        value = record.describe(options.trainer, dict(os.environ, CUDA_VISIBLE_DEVICES=""))
        value.update({"kind": "failing_calls", "seed": options.seed, "load_before": load, "load_after": os.getloadavg(), "rows": rows,
                      "libraries": dict(collections.Counter(result["library"] for result in results if result["library"])),
                      "odd": [result for result in results if result["found"]]})
        record.write(value["kind"].replace("_", "-"), value, options.record or None)
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    sys.exit(1 if any(row["wrong"] for row in rows) else 0)


if __name__ == "__main__":
    main()
