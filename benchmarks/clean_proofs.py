#!/usr/bin/env python3
"""Trains `sprint-lean` with portable bits again and again, beside other load and on 1 to 4 threads: its digest must always be the same.

    benchmarks/clean_proofs.py --trainer build/cpu/trainer/trainer [--count 1000] [--load 2]

The digest to meet is that of kernels/portable/digests.yaml. Writes a record under benchmarks/records/, and fails if any
training had another digest.
"""
import argparse
import collections
import contextlib
import os
import re
import subprocess
import sys
import time

import record

THREADS = (1, 2, 3, 4)


@contextlib.contextmanager
def load(processes):
    """So many processes that compute without end, meanwhile."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: sum(range(1000))"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def known_digest():
    path = os.path.join(os.path.dirname(record.FOLDER), "..", "kernels", "portable", "digests.yaml")
    with open(path, encoding="utf-8") as file:
        return re.search(r"network: sprint-lean, seed: 1, steps: all, digest: ([0-9a-f]{64})", file.read()).group(1)


def prove(trainer, threads):
    end = record.trainer_json(trainer, "train", "--model", "sprint-lean", "--bits", "portable", "--seed", "1", "--device", "cpu",
                              "--threads", str(threads), "--no-save")[-1]
    return end["digest"], end["seconds"]


def show_progress(done, count, started):
    """How many are done, in what time, and what is left, on one line of a terminal."""
    if sys.stderr.isatty() or done % 50 == 0:
        spent = time.monotonic() - started
        print(f"{done} of {count}, {spent / done:.2f} s each, {spent / done * (count - done) / 60:.1f} minutes left",
              end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default="build/cpu/trainer/trainer")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--load", type=int, default=os.cpu_count(), help="processes that compute meanwhile, in every second training")
    options = parser.parse_args()

    result = record.describe(options.trainer, dict(os.environ, CUDA_VISIBLE_DEVICES=""))
    wanted, digests, seconds = known_digest(), collections.Counter(), {threads: [] for threads in THREADS}
    started = time.monotonic()
    for processes, count in ((0, options.count - options.count // 2), (options.load, options.count // 2)):
        with load(processes):
            for number in range(count):
                threads = THREADS[number % len(THREADS)]
                digest, took = prove(options.trainer, threads)
                digests[digest] += 1
                seconds[threads].append(took)
                show_progress(sum(digests.values()), options.count, started)
                if digest != wanted:
                    print(f"{threads} threads, {processes} other processes: {digest} instead of {wanted}", flush=True)
    wrong = options.count - digests[wanted]
    print(f"{options.count} trainings, {wrong} with another digest than {wanted}")
    result.update({"kind": "clean_proofs", "model": "sprint-lean", "count": options.count, "wrong": wrong, "digest": wanted,
                   "other_processes": options.load, "digests": digests,
                   "seconds": {threads: record.spread(times) for threads, times in seconds.items() if times}})
    record.write("clean-proofs", result)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
