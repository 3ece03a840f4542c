"""What the stages of gpu_check share: where the programs are, how they are run, what a stage says at its end."""
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

KEPT_CHARACTERS = 200_000  # of a command's output, in the record


class OutOfTime(Exception):
    """A stage's time is over; the text says at what, `output` is what the command had printed by then."""

    def __init__(self, text, output=""):
        super().__init__(text)
        self.output = output[-KEPT_CHARACTERS:]


@dataclasses.dataclass
class Outcome:
    """status: passed, failed or skipped; text: for the summary's line; details: everything raw, for the record."""
    status: str
    text: str
    details: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Ran:
    """A command that ended: its exit code, both streams as one text, the seconds that it took."""
    code: int
    output: str
    seconds: float

    def json(self):
        return {"code": self.code, "seconds": round(self.seconds, 3), "output": self.output[-KEPT_CHARACTERS:]}


def say(text):
    print(text, flush=True)


def install_signals():
    """A signal that ends the check ends what it started too: the exception passes every `finally`."""
    def stop(number, _frame):
        sys.exit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def read_lines(stream, lines, echo):
    for line in stream:
        lines.append(line)
        if echo:
            say(line.rstrip())


def kill_group(process):
    """Ends a process and all that it started; it was started in a session of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


@dataclasses.dataclass
class Machine:
    """The tree under test. libraries: LD_LIBRARY_PATH of our programs, never of nvcc or of the peers' Python."""
    root: str
    trainer: str
    tests: str
    libraries: str
    work: str
    python: str
    deadline: float = 0  # of the stage that runs, on the monotonic clock

    def own_environment(self):
        inherited = os.environ.get("LD_LIBRARY_PATH", "")
        environment = dict(os.environ, TRAINER_REQUIRE_GPU="1", TRAINER_BINARY=self.trainer,
                           TRAINER_CACHE=os.path.join(self.work, "plan_cache"))
        paths = [path for path in (self.libraries, inherited) if path]
        if paths:
            environment["LD_LIBRARY_PATH"] = ":".join(paths)
        return environment

    def remaining(self):
        return self.deadline - time.monotonic()

    def run(self, command, seconds=None, environment=None, echo=False):
        """Runs a command to its end, at most to the stage's; with echo its lines are printed as they come."""
        limit = min(self.remaining(), seconds or self.remaining())
        if limit <= 0:
            raise OutOfTime(f"no time was left for: {' '.join(command)}")
        begin = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, errors="replace", cwd=self.work, start_new_session=True,
                                   env=environment or self.own_environment())
        lines = []
        reader = threading.Thread(target=read_lines, args=(process.stdout, lines, echo), daemon=True)
        reader.start()
        try:
            process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            raise OutOfTime(f"no end within {limit:.0f} s: {' '.join(command)}", "".join(lines)) from None
        finally:
            kill_group(process)
            reader.join(timeout=5)
        return Ran(process.returncode, "".join(lines), time.monotonic() - begin)

    def train(self, *arguments):
        """`trainer train ... --json` on the GPU: (the command's end, its events by name; "epoch" is a list)."""
        command = [self.trainer, "train", "--device", "cuda", "--json", *arguments]
        ran = self.run(command)
        events = {"epoch": []}
        for line in ran.output.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if not isinstance(event, dict) or "event" not in event:
                continue
            if event["event"] == "epoch":
                events["epoch"].append(event)
            else:
                events[event["event"]] = event
        return ran, events

    def test_program(self, name):
        return os.path.join(self.tests, name)

    def run_tests(self, name, only):
        """A GoogleTest program with a filter: (the command's end, its report as {"ran", "skipped", "failed"} of names)."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            report = os.path.join(folder, "report.json")
            ran = self.run([self.test_program(name), f"--gtest_filter={only}", f"--gtest_output=json:{report}"])
            return ran, read_report(report)


def read_report(path):
    """None where the program did not live to write its report."""
    names = {"ran": [], "skipped": [], "failed": []}
    try:
        with open(path, encoding="utf-8") as file:
            suites = json.load(file)["testsuites"]
    except (OSError, ValueError, KeyError):
        return None
    for suite in suites:
        for case in suite["testsuite"]:
            if case.get("status") != "RUN":
                continue
            kind = "skipped" if case.get("result") == "SKIPPED" else "ran"
            names["failed" if case.get("failures") else kind].append(f"{suite['name']}.{case['name']}")
    return names


def last_line(text):
    """For a message: the last line of an output that says anything."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it printed nothing"


def digest(paths, *texts):
    """A hash of files, missing ones too, and of texts."""
    sums = hashlib.sha256()
    for path in sorted(paths):
        sums.update(os.path.basename(path).encode())
        try:
            with open(path, "rb") as file:
                sums.update(hashlib.sha256(file.read()).digest())
        except OSError:
            sums.update(b"missing")
    for text in texts:
        sums.update(text.encode() + b"\0")
    return sums.hexdigest()


def write_json(path, value):
    """Under a temporary name first, so that a run that is killed leaves the file before it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".part", "w", encoding="utf-8") as out:
        json.dump(value, out, indent=1)
        out.write("\n")
    os.replace(path + ".part", path)
