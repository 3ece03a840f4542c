"""Where kill_check.sh and failing_calls.sh try commands: a folder with small real data, runs and a played target, and what must hold in it
whatever has happened to a command: no torn file under its final name, and nothing that a later command trips over."""
import contextlib
import gzip
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 120  # seconds for any command, on a busy machine
TIMES = ("seconds", "evaluation_seconds", "images_per_second", "exchange_seconds")  # what differs between two runs of the same training


def cut_idx(source, target, count, sides):
    """The first `count` items of a gzipped IDX file."""
    size = 1
    for side in sides:
        size *= side
    with gzip.open(source) as file:
        magic = file.read(4)
        file.seek(4 + 4 * (1 + len(sides)))
        body = file.read(count * size)
    with open(target, "wb") as file:
        file.write(magic + struct.pack(f">{1 + len(sides)}I", count, *sides) + body)


def write_data(folder, train, test):
    """The first images of MNIST's two splits."""
    os.makedirs(folder)
    for split, count in (("train", train), ("t10k", test)):
        for what, sides in (("images-idx3", (28, 28)), ("labels-idx1", ())):
            cut_idx(os.path.join(ROOT, f"data/mnist/{split}-{what}-ubyte.gz"), os.path.join(folder, f"{split}-{what}-ubyte"), count, sides)


def write_picture(path, data):
    """The first test image as a BMP file."""
    with open(os.path.join(data, "t10k-images-idx3-ubyte"), "rb") as file:
        pixels = file.read()[16:16 + 784]
    rows = b"".join(bytes(value for pixel in pixels[28 * y:28 * y + 28] for value in (pixel, pixel, pixel)) for y in reversed(range(28)))
    with open(path, "wb") as file:
        file.write(b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 28, 28, 1, 24, 0, len(rows), 2835, 2835, 0, 0) + rows)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def digest(path):
    return hashlib.sha256(read(path)).hexdigest()


def weights_digest(path):
    """The SHA-256 of a safetensors file's numbers, without what its header says of the training."""
    data = read(path)
    return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little"):]).hexdigest()


def metrics(path):
    """A run's metrics without the times in them."""
    return [{key: value for key, value in json.loads(line).items() if key not in TIMES} for line in read(path).decode().splitlines()]


def hidden(folder):
    """What a command left behind under a name that begins with a dot."""
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, folders, files in os.walk(folder) for name in folders + files if name.startswith("."))


def damage_of(path):
    """What is wrong with a file that has its final name; empty: nothing."""
    name = os.path.basename(path)
    try:
        data = read(path)
        if name.endswith(".json"):
            json.loads(data)
        elif name.endswith(".jsonl"):
            whole = data[:data.rfind(b"\n") + 1]  # an unfinished last line is left out by each reader and cut off by the next writer
            for line in whole.splitlines():
                json.loads(line)
        elif name.endswith(".safetensors"):
            header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
            ends = [value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"]
            if 8 + int.from_bytes(data[:8], "little") + max(ends) != len(data):
                return f"{path}: its length is not what its header says"
            digits = header["__metadata__"]["content_sha256"].encode()
            if hashlib.sha256(data.replace(digits, b"0" * 64, 1)).hexdigest().encode() != digits:
                return f"{path}: its hash is wrong"
        elif name.endswith(".html") and data.startswith(b"<") and not data.rstrip().endswith(b"</html>"):
            return f"{path}: it has no end"
    except (ValueError, KeyError, UnicodeDecodeError) as error:
        return f"{path}: {error!r}"
    return ""


def damage(folder):
    """What is wrong with the files of a folder, those with hidden names aside."""
    found = []
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [text for name in files if not name.startswith(".") and (text := damage_of(os.path.join(at, name)))]
    return found


class Ended:
    def __init__(self, status, out, err, seconds=0.0):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds

    def text(self):
        errors = [line for line in self.err.splitlines() if line.startswith("error: ")]
        return f"status {self.status}: {' | '.join(errors) or self.err.strip()[-600:]}"


class World:
    """A temporary folder: data/, runs/first and runs/trained (finished), runs/second (stopped midway, with a checkpoint), a picture, a played target."""

    def __init__(self, trainer, preload, train=640, test=200):
        self.trainer = os.path.realpath(trainer)
        linked = subprocess.run(["ldd", self.trainer], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.sanitizer = next((line.split()[2] for line in linked.splitlines() if "libasan" in line), "")
        self.preload = f"{self.sanitizer}:{preload}".lstrip(":")  # the sanitizer wants to be the first
        self.folder = tempfile.mkdtemp(prefix="trials-")
        self.data, self.template, self.picture = (os.path.join(self.folder, name) for name in ("data", "template", "digit.bmp"))
        write_data(self.data, train, test)
        write_picture(self.picture, self.data)
        os.makedirs(os.path.join(self.template, "runs"))
        self.require(self.template, self.training("--epochs", "2", "--out", "runs/first"))
        self.require(self.template, self.training("--epochs", "1", "--seed", "3", "--out", "runs/trained"))
        self.require(self.template, self.training("--epochs", "4", "--seed", "2", "--max-steps", "25", "--out", "runs/second"))

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def training(self, *more):
        return [self.trainer, "train", "--model", "sprint-lean", "--data", self.data, "--batch", "32", "--device", "cpu", "--checkpoint-every", "10steps", "--quiet", *more]

    def environment(self, more=None, failing="", log=""):
        """Of a command; `failing` is for tests/failing_calls."""
        value = {key: text for key, text in os.environ.items() if not key.startswith("TRAINER_")}
        value.update({"OMP_WAIT_POLICY": "passive", "CUDA_VISIBLE_DEVICES": "", "HOME": self.folder, "XDG_CACHE_HOME": os.path.join(self.folder, "cache"), **(more or {})})
        if failing:
            value.update({"LD_PRELOAD": self.preload, "FAILING_CALLS": failing, "FAILING_CALLS_LOG": log})
        return value

    def start(self, folder, words, **options):
        return subprocess.Popen(words, cwd=folder, env=self.environment(**options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                errors="replace", start_new_session=True)

    def end(self, process, patience=PATIENCE):
        begin = time.monotonic()
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            kill_session(process)
            out, err = process.communicate()
            return Ended("hangs", out, err, time.monotonic() - begin)
        return Ended(process.returncode, out, err, time.monotonic() - begin)

    def run(self, folder, words, **options):
        return self.end(self.start(folder, words, **options))

    def require(self, folder, words, **options):
        ended = self.run(folder, words, **options)
        if ended.status != 0:
            raise SystemExit(f"error: {' '.join(words)}: {ended.text()}")
        return ended

    def case_folder(self, name):
        folder = os.path.join(self.folder, name)
        shutil.rmtree(folder, ignore_errors=True)
        return folder


def kill_session(process):
    """Ends a process and all that it started, which is in its session."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getsid(int(name)) == process.pid:
                os.kill(int(name), signal.SIGKILL)


def played_programs():
    """The programs ssh and docker of a played target, as tests/doctor/played_machine.hpp has them."""
    text = read(os.path.join(ROOT, "tests/doctor/played_machine.hpp")).decode()
    return {name.lower(): script for name, script in re.findall(r'kPlayed(Ssh|Docker) = R"sh\((.*?)\)sh"', text, re.DOTALL)}


def built(path, what):
    """The path, if it is there."""
    if not os.path.exists(path):
        sys.exit(f"error: {path} is not there: {what}")
    return os.path.realpath(path)


class Progress:
    """Lines with what is done, the rate and the time left."""

    def __init__(self, total):
        self.total, self.begin, self.told = total, time.monotonic(), 0.0

    def line(self, done, text):
        now = time.monotonic()
        if done < self.total and now - self.told < 5:
            return
        self.told = now
        rate = done / max(1e-9, now - self.begin)
        print(f"[{now - self.begin:.0f} s, {rate:.1f} a second, {(self.total - done) / max(1e-9, rate):.0f} s left] {done} of {self.total}: {text}", flush=True)
