"""kill_check.sh: commands that are killed, or whose disk is full, at a random moment."""
import argparse
import concurrent.futures
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import commands
import trainings
import world

sys.path.insert(0, os.path.join(world.ROOT, "benchmarks"))
import record  # noqa: E402

WEIGHTS = {"train": 46, "ranks": 8, "bench": 3, "promote": 12, "delete": 6, "fetch": 9, "export": 6, "torch": 4, "report": 3, "logits": 3}
DISK_BYTES = 24 << 20


def kind_of(chance, kinds):
    return chance.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]


class Case:
    """One case: a command in a folder of its own, drawn by the seed and the case's number alone."""

    def __init__(self, options, number):
        self.options, self.number = options, number
        self.chance = random.Random(f"{options.seed}:{number}")
        self.command = options.commands[kind_of(self.chance, options.kinds)]
        self.place = options.place
        self.folder = self.place.case_folder(f"case-{number}")
        self.found = []
        self.counts = {"kind": self.command.name, "kills": 0, "at_calls": 0, "missed": 0, "full": 0}
        self.log = []

    def start(self, failing=""):
        words = self.command.words(self.folder, self.chance)
        self.log.append(" ".join(os.path.basename(words[0]) if i == 0 else word for i, word in enumerate(words)) + (f"  [{failing}]" if failing else ""))
        log = os.path.join(self.place.folder, f"calls-{self.number}")
        return self.place.start(self.folder, words, more=self.command.environment(self.folder), failing=failing, log=log)

    def kill_once(self):
        """Starts the command and kills it: at a random moment, or at a random call that concerns its files. True if it was still running."""
        calls = self.options.calls.get(self.command.name)
        if calls and self.chance.random() < 0.6:
            ended = self.place.end(self.start(f"files:{self.chance.choice(calls)}:kill"))
            if ended.status == -signal.SIGKILL:
                self.counts["at_calls"] += 1
                return True
            return self.judge_early(ended)
        moment = self.chance.uniform(0, 1.1 * self.options.seconds[self.command.name])
        process = self.start()
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            if isinstance(self.command, trainings.Ranks):
                world.kill_session(process)
            else:
                process.kill()
            self.log.append(f"killed after {moment:.3f} s")
        else:
            return self.judge_early(self.place.end(process))
        ended = self.place.end(process, patience=20)
        world.kill_session(process)  # what it had started
        return ended.status == -signal.SIGKILL or self.judge_early(ended)

    def judge_early(self, ended):
        if ended.status != 0:
            self.found.append(f"given {'again' if self.counts['kills'] else 'first'}: {ended.text()}")
        return False

    def finish(self):
        ended = self.place.end(self.start())
        if ended.status != 0:
            self.found.append(f"given again: {ended.text()}")
        else:
            self.found += self.command.wrong_in_the_end(self.folder)

    def kill(self):
        self.command.set_up(self.folder, self.chance)
        for _ in range(self.chance.choice((1, 1, 1, 2, 3))):
            if not self.kill_once():
                self.counts["missed"] += 1
                break
            self.counts["kills"] += 1
            self.found += self.command.wrong_between(self.folder, self.chance)
            if self.found:
                break
        if not self.found:
            self.finish()

    def fill(self):
        """On a small file system of its own, of which a random number of bytes is free."""
        os.makedirs(self.folder)
        mounted = self.options.root and subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", self.folder], check=False).returncode == 0
        outer, self.folder = self.folder, os.path.join(self.folder, "here")
        try:
            self.command.set_up(self.folder, self.chance)
            room = int(self.chance.uniform(0, 1.1 * self.options.bytes[self.command.name]))
            filler = os.path.join(outer, "filler")
            if mounted:
                left = os.statvfs(outer)
                with open(filler, "wb") as file:
                    file.write(bytes(max(0, left.f_bavail * left.f_frsize - room)))
            ended = self.place.end(self.start("" if mounted else f"disk:{room}"))
            self.log.append(f"{room} bytes are free: status {ended.status}: {ended.err.strip()[-300:]}")
            if ended.status not in (0, 1):
                self.found.append(f"with a full disk: {ended.text()}")
            elif ended.status == 1:
                self.counts["full"] = 1
                lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
                if len(lines) != 1 or "o space left" not in lines[0] or not re.search(r"cannot [a-z ]+ \S*[./]", lines[0]):
                    self.found.append(f"the message does not name file and reason: {ended.text()}")
            self.found += self.command.wrong_between(self.folder, self.chance)
            if mounted:
                os.remove(filler)
            if not self.found:
                self.finish()
        finally:
            if mounted:
                subprocess.run(["umount", "--lazy", outer], check=False)

    def run(self):
        begin = time.monotonic()
        self.fill() if self.options.full_disk else self.kill()
        if not self.found or not self.options.keep:
            shutil.rmtree(self.place.case_folder(f"case-{self.number}"), ignore_errors=True)
        return {"case": self.number, **self.counts, "found": self.found, "log": self.log if self.found else [], "seconds": round(time.monotonic() - begin, 2)}


def calls_of(options, command):
    """The numbers of the command's calls that concern its own folder, which it makes undisturbed."""
    folder = command.place.case_folder(f"{command.name}-listed")
    chance = random.Random(0)
    command.set_up(folder, chance)
    log = os.path.join(command.place.folder, f"{command.name}-calls")
    command.place.require(folder, command.words(folder, chance), more=command.environment(folder), failing="files", log=log)
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = [line.split(" ", 2) for line in file.read().splitlines()]
    os.remove(log)
    shutil.rmtree(folder)
    changing = ("open", "write", "fsync", "rename", "mkdir", "unlink", "unlinkat", "rmdir", "ftruncate", "close", "chmod", "flock")
    # A path is given as the command names it, or in whole.
    return [int(number) for number, name, path in lines if name in changing and (path.startswith(folder) or not path.startswith(("/", "-")))]


def bytes_of(command):
    """How many bytes the command writes."""
    folder = command.place.case_folder(f"{command.name}-sized")
    command.set_up(folder, random.Random(0))

    def size():
        return sum(os.lstat(os.path.join(at, name)).st_size + 4096 for at, _, files in os.walk(folder) for name in files)

    before = size()
    command.place.require(folder, command.words(folder, random.Random(0)), more=command.environment(folder))
    after = size()
    shutil.rmtree(folder)
    return abs(after - before) + 100_000


def options_given():
    parser = argparse.ArgumentParser(prog="kill_check.sh", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="number of cases [100]")
    parser.add_argument("--seed", type=int, default=None, help="of all that is drawn [the time]")
    parser.add_argument("--case", type=int, default=None, help="this one alone, as a failure names it")
    parser.add_argument("--kinds", nargs="+", default=sorted(WEIGHTS), choices=sorted(WEIGHTS), help="of commands [all]")
    parser.add_argument("--full-disk", action="store_true", help="no kills: the disk is full at a random byte")
    parser.add_argument("--trainer", default=os.path.join(world.ROOT, "build/cpu/trainer/trainer"))
    parser.add_argument("--preload", default="", help="tests/failing_calls, built [beside the trainer's folder]")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time [2]")
    parser.add_argument("--keep", action="store_true", help="leave the folder of a case that failed")
    parser.add_argument("--record", nargs="?", const="", metavar="FILE", help="write a record [to benchmarks/records]")
    options = parser.parse_args()
    options.seed = int(time.time()) if options.seed is None else options.seed
    options.trainer = world.built(options.trainer, "build it with scripts/build.sh cpu trainer, or name another with --trainer")
    options.preload = world.built(options.preload or os.path.join(os.path.dirname(os.path.dirname(options.trainer)), "tests/libfailing_calls.so"),
                                  "build it with TRAINER_TESTS=ON scripts/build.sh cpu failing_calls")
    options.root = os.geteuid() == 0
    return options


def prepare(options, numbers):
    """Learns what the kinds of these cases do undisturbed."""
    options.place = world.World(options.trainer, options.preload)
    place, chance = options.place, random.Random(options.seed)
    kinds = list(options.kinds)
    if "ranks" in kinds and not shutil.which("mpirun"):
        print("SKIPPED: ranks: there is no mpirun", flush=True)
        kinds.remove("ranks")
    if options.full_disk:
        kinds = [kind for kind in kinds if kind not in ("ranks", "delete")]
        if not options.root:
            print("SKIPPED: the small file system, which needs root: writes fail after a random byte instead", flush=True)
    options.commands, options.kinds = commands.all_commands(place), sorted(kinds)
    kinds = sorted({kind_of(random.Random(f"{options.seed}:{number}"), options.kinds) for number in numbers})
    options.seconds = {kind: options.commands[kind].learn(chance) for kind in kinds}
    options.calls = {} if options.full_disk else {kind: calls_of(options, options.commands[kind]) for kind in kinds if kind != "ranks"}
    options.bytes = {kind: bytes_of(options.commands[kind]) for kind in kinds} if options.full_disk else {}


def rows_of(results):
    rows = {}
    for result in results:
        row = rows.setdefault(result["kind"], {"kind": result["kind"], "cases": 0, "kills": 0, "at_calls": 0, "missed": 0, "full": 0, "wrong": 0})
        row["cases"] += 1
        row["wrong"] += bool(result["found"])
        for key in ("kills", "at_calls", "missed", "full"):
            row[key] += result[key]
    return sorted(rows.values(), key=lambda row: row["kind"])


def main():
    options = options_given()
    print(f"seed {options.seed}; a case that fails is repeated by --seed {options.seed} --case N{' --full-disk' if options.full_disk else ''}", flush=True)
    loads, results = [os.getloadavg()], []
    try:
        numbers = range(options.count) if options.case is None else [options.case]
        prepare(options, numbers)
        progress = world.Progress(len(numbers))
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for future in concurrent.futures.as_completed([pool.submit(lambda number: Case(options, number).run(), number) for number in numbers]):
                results.append(future.result())
                if results[-1]["found"]:
                    print("FAILED: " + json.dumps(results[-1], indent=1), flush=True)
                wrong = sum(bool(result["found"]) for result in results)
                done = f"{sum(result['full'] for result in results)} full disks" if options.full_disk else f"{sum(result['kills'] for result in results)} kills"
                progress.line(len(results), f"{done}, {wrong} cases went wrong")
    finally:
        if hasattr(options, "place") and not options.keep:
            options.place.remove()
    rows = rows_of(results)
    if options.record is not None:
        sys.argv[0] = os.path.join(world.ROOT, "scripts/kill_check.sh")
        value = record.describe(options.trainer, dict(os.environ, CUDA_VISIBLE_DEVICES=""))
        value.update({"kind": "full_disks" if options.full_disk else "kills", "seed": options.seed, "load_before": loads[0], "load_after": os.getloadavg(),
                      "tmpfs": options.full_disk and options.root, "rows": rows, "odd": [result for result in results if result["found"]]})
        record.write(value["kind"].replace("_", "-"), value, options.record or None)
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    sys.exit(1 if any(row["wrong"] for row in rows) else 0)


if __name__ == "__main__":
    main()
