"""A check over played programs, so that no GPU is needed: a bundle of shell scripts stands for trainer and tests, others for
ldd and NVIDIA's tools."""
import glob
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest

import played_programs as played

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TESTS = ("conformance_test", "step_test", "backend_test", "gpu_training_test")
PLAY = {"NODES": 12, "QUICK_NODES": 9, "ACCURACY": 0.998, "SPRINT": 99.05, "HANGS_IN": "train"}


def write(path, text, mode=0o755):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    os.chmod(path, mode)


class Played:
    """One bundle, and what was made of it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.bundle = os.path.join(self.folder, "a bundle")
        self.tools = os.path.join(self.folder, "tools")
        self.output = ""
        programs = {"trainer": played.TRAINER, "planted_fault": "#!/bin/sh\n", "first_contact": played.FIRST_CONTACT,
                    "gpu_bits_test": played.BITS, "gpu_bits_test_jitter": played.BITS, **{name: played.TEST for name in TESTS}}
        for name, text in programs.items():
            write(self.at("bin", name), text)
        for name, text in {"benchmarks/gpu_vs_torch.py": played.BENCHMARK, "benchmarks/torch_sprint_peer.py": played.SPRINT_PEER,
                           "benchmarks/gpu_model.py": played.GPU_MODEL, "device.json": json.dumps(played.DEVICE),
                           "block": played.BLOCK}.items():
            write(self.at(name), text)
        for name, text in {"compute-sanitizer": played.SANITIZER, "ncu": played.NCU, "ldd": played.LDD}.items():
            write(os.path.join(self.tools, name), text)
        self.play()

    def at(self, *parts):
        return os.path.join(self.bundle, *parts)

    def play(self, **changes):
        write(self.at("play"), "".join(f"{name}='{value}'\n" for name, value in {**PLAY, **changes}.items()))

    def environment(self, **more):
        environment = dict(os.environ, PATH=f"{self.tools}:{os.environ['PATH']}", PLAYED=self.bundle)
        for name in ("CUDA_HOME", "CUDA_PATH", "LD_LIBRARY_PATH"):
            environment.pop(name, None)
        return dict(environment, **more)

    def command(self, *arguments):
        return [os.path.join(ROOT, "scripts/gpu_check.sh"), "--bundle", self.bundle, *arguments]

    def changed(self, change, *arguments):
        """check.py itself, after a line of Python that changes it: to shorten its times, say."""
        code = f"import sys; sys.path.insert(0, {os.path.join(ROOT, 'scripts/gpu')!r}); import check; {change}; check.main()"
        own = {"root": self.bundle, "trainer": self.at("bin/trainer"), "tests": self.at("bin"), "work": self.at("gpu_check")}
        return ["python3", "-c", code, *(f"--{name}={path}" for name, path in own.items()), *arguments]

    def check(self, *arguments, command=None, **environment):
        done = subprocess.run(command or self.command(*arguments), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=self.environment(**environment), cwd=self.folder, check=False)
        self.output = done.stdout
        return done.returncode

    def record_in(self, folder):
        paths = glob.glob(os.path.join(folder, "*.json"))
        if len(paths) != 1:
            raise AssertionError(f"{paths}; {self.output}")
        with open(paths[0], encoding="utf-8") as file:
            return os.path.basename(paths[0]), json.load(file)

    def trainings(self):
        with open(self.at("calls"), encoding="utf-8") as file:
            return sum(line.startswith("train ") for line in file)

    def play_driver(self):
        """The driver's libraries; false where there is no C compiler. They are found with LD_LIBRARY_PATH=self.tools."""
        write(os.path.join(self.tools, "driver.c"), played.DRIVER)
        if not shutil.which("cc"):
            return False
        for name in ("libcuda.so.1", "libnvidia-ml.so.1"):
            subprocess.run(["cc", "-shared", "-fPIC", "-o", os.path.join(self.tools, name), os.path.join(self.tools, "driver.c")],
                           check=True)
        return True

    def processes(self):
        """Those that this check has started, by what is in their environment; a zombie has none."""
        found = []
        for path in glob.glob("/proc/[0-9]*/environ"):
            try:
                with open(path, "rb") as file:
                    if f"PLAYED={self.bundle}\0".encode() in file.read():
                        found.append(int(path.split("/")[2]))
            except OSError:
                pass
        return found

    def left(self, seconds=8):
        """Their command lines, once they have had some time to end."""
        until = time.monotonic() + seconds
        while self.processes() and time.monotonic() < until:
            time.sleep(0.02)
        return [command_line(process) for process in self.processes()]


def command_line(process):
    try:
        with open(f"/proc/{process}/cmdline", encoding="utf-8", errors="replace") as file:
            return file.read().replace("\0", " ")
    except OSError:
        return ""


class PlayedCheck(unittest.TestCase):
    """Each test changes one thing of the play and looks at exit code, table and record."""

    def setUp(self):
        self.played = Played()
        self.addCleanup(shutil.rmtree, self.played.folder)

    def record(self):
        return self.played.record_in(self.played.at("benchmarks/records"))

    def check(self, code, *arguments, **environment):
        self.assertEqual(self.played.check(*arguments, **environment), code, self.played.output)

    def expect(self, stage, code, status, text, **environment):
        """One stage ends so, and says why."""
        self.check(code, "--stages", stage, "--again", **environment)
        result = self.record()[1]["stages"][stage]
        self.assertEqual(result["status"], status, self.played.output)
        self.assertIn(text, result["text"])
        return result
