#!/usr/bin/env python3
"""What becomes of a training when a rank is lost, and whether a run that is killed again and again ends with the digest of an unbroken one.

    benchmarks/rank_losses.py [--trainer build/cpu/trainer/trainer] [--count 50] [--kinds killed frozen cut absent] [--kills 200]

Three ranks on this machine, of which one is killed (SIGKILL), frozen (SIGSTOP) or never joins, or two on machines that network namespaces
play, whose link is taken down (root). Then a training with portable bits whose ranks are killed at random times and which goes on with
another number of them. Writes a record of each kind; --no-record instead fails if anything was not as promised (77: nothing can be tried here).
"""
import argparse
import collections
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import network_link
import record

KINDS = ("killed", "frozen", "cut", "absent")
LIMIT, MORE = 2, 5  # --rank-timeout, and the seconds within which all end after it
PATIENCE = 120      # for anything else, on a busy machine
STATUSES = "RANK_LOSSES"  # the variable that names the file of a trial's statuses
HERE = ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe"]
YIELDING = ["--bind-to", "none", "--mca", "mpi_yield_when_idle", "1", "-x", STATUSES]
WRAPPED = ["sh", "-c", f'"$@"; s=$?; echo $s >>"${STATUSES}"; exit $s', "sh"]
SMALL = ["--device", "cpu", "--threads", "1", "--rank-timeout", str(LIMIT), "--quiet"]


def ranks_of(trial, program):
    """The processes of a trial's ranks, by rank."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{name}/exe") != program:
                continue
            with open(f"/proc/{name}/environ", "rb") as file:
                variables = dict(pair.split(b"=", 1) for pair in file.read().split(b"\0") if b"=" in pair)
            if variables.get(STATUSES.encode()) == trial.encode():
                found[int(variables[b"OMPI_COMM_WORLD_RANK"])] = int(name)
    return found


def wait_for(what, *processes):
    """What `what` returns once that is true; None if a process ends before, or after PATIENCE seconds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = what()
        if value or any(process.poll() is not None for process in processes):
            return value or None
        time.sleep(0.01)
    return None


class Job:
    """A launcher and its ranks, in a session of their own."""

    def __init__(self, launcher, ranks, command, folder):
        self.folder, self.program, self.ranks = folder, command[0], {}
        self.file = os.path.join(folder, f"statuses-{time.monotonic_ns()}")
        words = [*launcher, *YIELDING, "-n", str(ranks), *WRAPPED, *command]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=folder, start_new_session=True,
                                        env=dict(os.environ, **{STATUSES: self.file}))

    def find(self, count):
        self.ranks = wait_for(lambda: (lambda found: found if len(found) == count else None)(ranks_of(self.file, self.program)), self.process) or {}
        return self.ranks

    def seconds_to_end(self):
        """Until no rank is left."""
        begin = time.monotonic()
        wait_for(lambda: not ranks_of(self.file, self.program))
        return time.monotonic() - begin

    def end(self):
        """The launcher's status, the ranks' own as far as they are known, and the lines of errors."""
        try:
            errors = self.process.communicate(timeout=PATIENCE)[1]
        except subprocess.TimeoutExpired:
            for pid in [*ranks_of(self.file, self.program).values(), self.process.pid]:
                os.kill(pid, signal.SIGKILL)
            errors = self.process.communicate()[1]
        statuses = []
        with contextlib.suppress(FileNotFoundError), open(self.file, encoding="utf-8") as file:
            statuses = [int(line) for line in file.read().split()]
        return self.process.returncode, statuses, [line for line in errors.splitlines() if line.startswith("error: ")]


def is_whole(run):
    """Whether what is in the folder of a run can be read."""
    with open(os.path.join(run, "run.json"), encoding="utf-8") as file:
        json.load(file)
    with open(os.path.join(run, "checkpoint.safetensors"), "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return file.tell() + max(value["data_offsets"][1] for name, value in header.items() if name != "__metadata__") == os.path.getsize(file.name)


def lose(kind, launcher, ranks, options, chance):
    """A training in the middle of whose steps a rank is lost."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = os.path.join(folder, "run/checkpoint.safetensors")
        job = Job(launcher, ranks, [options.trainer, "train", *SMALL, "--model", "quick", "--batch", "64", "--epochs", "1", "--checkpoint-every", "75steps", "--out", "run"], folder)
        written = [0, 0]  # times of two checkpoints: what is between them are steps, which the limit is for

        def another():
            with contextlib.suppress(FileNotFoundError):
                if (now := os.stat(checkpoint).st_mtime_ns) != written[1]:
                    written[:] = written[1], now
            return written[0]

        job.find(ranks)
        while True:
            if not wait_for(another, job.process):
                raise SystemExit(f"{kind}: the training ended before a rank was lost: {job.end()}")
            time.sleep(chance.uniform(0.1, 0.4) * (written[1] - written[0]) * 1e-9)
            if os.stat(checkpoint).st_mtime_ns == written[1]:  # else there may be one right now, which has another limit
                break
        lost = chance.randrange(ranks)
        pid = job.ranks[lost]
        if kind == "cut":
            network_link.run("ip", "-n", network_link.NAMES[lost], "link", "set", network_link.INTERFACE, "down")
        else:
            os.kill(pid, signal.SIGKILL if kind == "killed" else signal.SIGSTOP)
        seconds = job.seconds_to_end()
        if kind == "cut":
            network_link.run("ip", "-n", network_link.NAMES[lost], "link", "set", network_link.INTERFACE, "up")
        status, statuses, lines = job.end()
        told = [re.match(r"error: rank (\d+) \(host \S+, pid (\d+)\) has .* step \d+", line) for line in lines]
        mine = {(str(rank), str(process)) for rank, process in job.ranks.items() if rank == lost or kind == "cut"}
        named = bool(told) and all(match and match.groups() in mine for match in told)
        return {"seconds": seconds, "status": status, "statuses": statuses, "lines": lines, "named": named, "whole": is_whole(os.path.join(folder, "run"))}


def never_join(launcher, options, chance):
    """Ranks of which one does not start its MPI: those of a test, whose limit for that is short."""
    lost = chance.randrange(1, 3)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(launcher, 3, [options.program, "absent", str(lost), str(LIMIT)], folder)
        job.find(3)
        seconds = job.seconds_to_end()
        status, statuses, lines = job.end()
        named = len(lines) == 1 and lines[0].endswith(f"these have not joined: {lost}")
        return {"seconds": seconds, "status": status, "statuses": statuses, "lines": lines, "named": named, "whole": True}


def try_kind(kind, options, chance):
    trials = []
    with network_link.two_machines() if kind == "cut" else contextlib.nullcontext(HERE) as launcher:
        for number in range(options.count):
            trial = never_join(launcher, options, chance) if kind == "absent" else lose(kind, launcher, 2 if kind == "cut" else 3, options, chance)
            limit = LIMIT if kind != "killed" else 0
            trial["in_time"] = trial["seconds"] <= limit + MORE
            trial["right"] = trial["named"] and trial["in_time"] and trial["whole"] and trial["status"] != 0 and set(trial["statuses"]) <= {20, 137}
            trials.append(trial)
            options.told(f"{kind} {number + 1} of {options.count}: {trial['seconds']:.2f} s" + ("" if trial["right"] else f": {trial}"))
    return {"kind": kind, "trials": len(trials), "limit": limit, "seconds": record.spread([trial["seconds"] for trial in trials]),
            **{key: sum(trial[key] for trial in trials) for key in ("named", "in_time", "whole", "right")},
            "statuses": dict(collections.Counter(status for trial in trials for status in trial["statuses"])),
            "odd": [trial for trial in trials if not trial["right"]]}


def training(options, folder):
    return [options.trainer, "train", *SMALL, "--model", "sprint-lean", "--batch", "32", "--limit-train", "800", "--epochs", "10", "--bits", "portable", "--checkpoint-every", "5steps",
            "--resume-if-there", "--out", folder]


def digest_of(folder):
    with open(os.path.join(folder, "run.json"), encoding="utf-8") as file:
        value = json.load(file)
    return value["results"].get("digest") if value["status"] == "finished" else None


def kill_again_and_again(options, chance):
    """Runs that are killed ten times each at random times, or as often as they last, each time with another number of ranks than before."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        subprocess.run(training(options, os.path.join(folder, "alone")), stdout=subprocess.DEVNULL, check=True)
        alone, length = digest_of(os.path.join(folder, "alone")), max(2.0, time.monotonic() - begin)
        kills = runs = same = torn = 0
        odd = []
        while kills < options.kills:
            run, ranks = os.path.join(folder, f"run-{runs}"), 1
            for _ in range(min(10, options.kills - kills)):
                ranks = chance.choice([n for n in (2, 4) if n != ranks])
                job = Job(HERE, ranks, training(options, run), folder)
                if not job.find(ranks):
                    break
                time.sleep(chance.uniform(0, length / 2))
                before = ranks_of(job.file, options.trainer)
                if not before:  # it has ended
                    break
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(list(before.values())), signal.SIGKILL)
                status = job.end()[0]
                kills += 1
                if status in (1, 2):
                    torn += 1
                    odd.append({"run": runs, "status": status})
            job = Job(HERE, chance.choice([1, 2, 4]), training(options, run), folder)
            end = job.end()
            found = digest_of(run)
            same += found == alone
            if found != alone:
                odd.append({"run": runs, "end": end, "digest": found})
            runs += 1
            shutil.rmtree(run, ignore_errors=True)
            options.told(f"{kills} of {options.kills} kills: {same} of {runs} runs with the digest of one that was not broken", kills / max(1, options.kills))
        return {"kills": kills, "runs": runs, "same_digest": same, "refused": torn, "digest": alone, "odd": odd}


def options_given():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default="build/cpu/trainer/trainer")
    parser.add_argument("--program", default="", help="tests' ranks_mpi_program, for ranks that do not join [beside the trainer]")
    parser.add_argument("--count", type=int, default=50, help="of each kind of loss")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="of the times and of the ranks that are lost")
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    options.trainer = os.path.realpath(options.trainer)
    options.program = os.path.realpath(options.program or os.path.join(os.path.dirname(options.trainer), "ranks_mpi_program"))
    begin = time.monotonic()

    def told(text, done=None):
        left = "" if not done else f", {(time.monotonic() - begin) * (1 / done - 1):.0f} s left"
        print(f"[{time.monotonic() - begin:.0f} s{left}] {text}", flush=True)

    options.told = told
    return options


def main():
    options = options_given()
    if not shutil.which(HERE[0]) or ("cut" in options.kinds and os.geteuid() != 0):
        print("skipped: Open MPI is not here, or this is not root, who alone can cut a link")
        sys.exit(77)
    odd = []
    chance = random.Random(options.seed)
    for part in [kind for kind in options.kinds if options.count] + ["resumed"] * (options.kills > 0):
        value = record.describe(options.trainer, dict(os.environ, CUDA_VISIBLE_DEVICES=""))
        value.update({"kind": f"rank_losses_{part}", "load_before": os.getloadavg(), "rank_timeout": LIMIT, "seed": options.seed})
        value["row"] = kill_again_and_again(options, chance) if part == "resumed" else try_kind(part, options, chance)
        value["load_after"] = os.getloadavg()
        odd += value["row"]["odd"]
        if not options.no_record:
            record.write(f"rank-losses-{part}", value)
    if options.no_record and odd:
        sys.exit(json.dumps(odd, indent=1))


if __name__ == "__main__":
    main()
