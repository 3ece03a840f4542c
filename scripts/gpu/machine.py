"""What the stages of gpu_check share: where the programs are, how to run them, and the outcome of a stage."""
import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from processes import die_with_parent, end_descendants

KEPT_CHARACTERS = 200_000  # of a command's output, in the record


class OutOfTime(Exception):
    """A stage's time is over; the text says during what, and `output` is what the command had printed by then."""

    def __init__(self, text, output=""):
        super().__init__(text)
        self.output = output[-KEPT_CHARACTERS:]


@dataclasses.dataclass
class Outcome:
    """status: passed, failed or skipped; text: for the summary's line; details: all raw data, for the record."""
    status: str
    text: str
    details: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Ran:
    """A finished command: its exit code, both streams as one text, and the seconds that it took."""
    code: int
    output: str
    seconds: float

    def json(self):
        return {"code": self.code, "seconds": round(self.seconds, 3), "output": self.output[-KEPT_CHARACTERS:]}


class Output:
    """All messages go to standard output and, line by line, to a log. If one of them is gone, the other continues."""

    def __init__(self):
        self.log = None
        self.unwritten = []  # files that could not be written

    def open_log(self, path):
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self.log = open(path, "w", encoding="utf-8", buffering=1)  # pylint: disable=consider-using-with
        except OSError as error:
            self.could_not_write(path, error)

    def say(self, text):
        try:
            print(text, flush=True)
        except OSError:
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # pylint: disable=consider-using-with
        try:
            if self.log:
                self.log.write(text + "\n")
        except OSError as error:
            broken, self.log = self.log, None
            self.could_not_write(broken.name, error)

    def could_not_write(self, path, error):
        if path not in self.unwritten:
            self.unwritten.append(path)
            self.say(f"warning: {path} could not be written: {error.strerror or error}; the check goes on without it")

    def write(self, path, text):
        """Writes under a temporary name first, so that a killed check leaves the previous file."""
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path + ".part", "w", encoding="utf-8") as out:
                out.write(text)
            os.replace(path + ".part", path)
            return True
        except OSError as error:
            self.could_not_write(path, error)
            return False


OUTPUT = Output()
say = OUTPUT.say


def read_lines(stream, lines, echo):
    for line in stream:
        lines.append(line)
        if echo:
            say(line.rstrip())


def toolkit_program(name, folder=""):
    """A program of NVIDIA's toolkit, or None: on the path, in bin/, or in its own folder beside it."""
    toolkits = [os.environ.get(variable) for variable in ("CUDA_HOME", "CUDA_PATH")] + ["/usr/local/cuda"]
    places = [shutil.which(name)]
    for toolkit in filter(None, toolkits):
        places += [os.path.join(toolkit, part, name) for part in ("bin", folder)]
    return next((place for place in places if place and os.access(place, os.X_OK)), None)


def kill_group(process):
    """Ends a process and its group; it was started in its own session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


@dataclasses.dataclass
class Machine:
    """The tree under test. libraries: LD_LIBRARY_PATH for our programs, never for nvcc or the peers' Python; work: the
    folder for files that nobody needs afterwards."""
    root: str
    trainer: str
    tests: str
    libraries: str
    work: str
    python: str
    plan: str = ""  # first, second, or none: chosen stages
    deadline: float = 0  # of the running stage, on the monotonic clock
    starts: dict = dataclasses.field(default_factory=dict)  # how long `trainer devices` takes, and whether the device is held
    details: dict = dataclasses.field(default_factory=dict)  # of the running stage: its findings so far
    holder: subprocess.Popen = None  # holds a context on the device
    spared: set = dataclasses.field(default_factory=set)  # processes that outlive a command

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
        """Runs a command to its end or the stage's deadline; with echo, its lines are printed as they arrive."""
        limit = min(self.remaining(), seconds or self.remaining())
        if limit <= 0:
            raise OutOfTime(f"no time was left for: {' '.join(command)}")
        begin = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, errors="replace", cwd=self.work, start_new_session=True,
                                   preexec_fn=die_with_parent, env=environment or self.own_environment())
        lines = []
        reader = threading.Thread(target=read_lines, args=(process.stdout, lines, echo), daemon=True)
        reader.start()
        try:
            process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            raise OutOfTime(f"no end within {limit:.0f} s: {' '.join(command)}", "".join(lines)) from None
        finally:
            kill_group(process)
            end_descendants(self.spared)  # processes that left the group and were adopted by this one
            reader.join(timeout=5)
        return Ran(process.returncode, "".join(lines), time.monotonic() - begin)

    def train(self, *arguments):
        """`trainer train ... --json` on the GPU: (the finished command, its events by name; "epoch" is a list)."""
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

    def packed(self, name):
        """A program of a bundle beside the trainer, or None."""
        program = os.path.join(self.root, "bin", name)
        return program if os.access(program, os.X_OK) else None

    def compiled(self, name, *options):
        """The program of scripts/gpu/NAME.cu: the bundle's, else compiled here. (path or None, why not)"""
        if self.packed(name):
            return self.packed(name), ""
        compiler = toolkit_program("nvcc")
        if not compiler:
            return None, f"no {name} in this tree, and no nvcc to make it with"
        program = os.path.join(self.work, name)
        source = os.path.join(self.root, f"scripts/gpu/{name}.cu")
        ran = self.run([compiler, "-std=c++20", "-O3", "-arch=native", f"-I{self.root}", *options, "-o", program, source], 60,
                       dict(os.environ))
        return (program, "") if ran.code == 0 else (None, f"nvcc did not compile {name}: {last_line(ran.output)}")

    def test_program(self, name):
        return os.path.join(self.tests, name)

    def run_tests(self, name, only):
        """A GoogleTest program with a filter: (the finished command, its report as {"ran", "skipped", "failed"} of names)."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            report = os.path.join(folder, "report.json")
            ran = self.run([self.test_program(name), f"--gtest_filter={only}", f"--gtest_output=json:{report}"])
            return ran, read_report(report)


def read_report(path):
    """None if the program ended before it wrote its report."""
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


def last_line(text, most=200):
    """The last line of an output that is not empty, shortened for a message unless `most` is None."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:most] if lines else "it printed nothing"


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
    return OUTPUT.write(path, json.dumps(value, indent=1) + "\n")
