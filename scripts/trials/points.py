"""Where a call of the program can fail: calls that concern files, allocations by their call stack, and calls of the emulated GPU's libraries."""
import dataclasses
import errno
import os
import random
import shutil

import trainings

# Whose errors are worth a try where a call fails; the others say that the device does not answer (EIO).
ERRORS = {"open": ("EACCES", "EMFILE", "EIO"), "fopen": ("EACCES", "EMFILE"), "fopen64": ("EACCES", "EMFILE"), "opendir": ("EACCES", "EMFILE"),
          "write": ("ENOSPC", "EIO"), "fsync": ("EIO", "ENOSPC"), "rename": ("EIO", "EACCES", "ENOSPC"), "mkdir": ("ENOSPC", "EACCES"),
          "mkdtemp": ("ENOSPC", "EACCES"), "mmap": ("ENOMEM",), "pthread_create": ("EAGAIN",), "pipe2": ("EMFILE",)}
SCENARIOS = ("begin", "resume", "logits", "predict", "export", "promote")


@dataclasses.dataclass
class Point:
    scenario: str
    kind: str       # files, memory or gpu
    number: int
    what: str       # "write /path", the call stack, "cudaMalloc"
    error: str = ""

    def failing(self):
        """For FAILING_CALLS."""
        if self.kind == "files":
            return f"files:{self.number}:{getattr(errno, self.error)}"
        return f"memory:{self.number}:fail" if self.kind == "memory" else ""

    def variables(self):
        """For the emulated GPU, if it is one of its calls."""
        code = 700 if self.what == "launch" else 999  # cudaErrorIllegalAddress, cudaErrorUnknown
        return {"CUDA_VISIBLE_DEVICES": "0", "TRAINER_EMULATOR_FAIL": f"{self.what}:{self.number}:{code}"} if self.kind == "gpu" else {}

    def text(self):
        return f"{self.scenario}, {self.kind} call {self.number}: {self.what[:200]} {self.error}"


class Gpu(trainings.Begin):
    """A training of a tiny network on the emulated GPU, with a kernel of our own, one convolution of cuDNN and a product of cuBLASLt."""
    name = "gpu"
    NETWORK = """name: tiny
layers:
  - conv: {out: 2, kernel: 5}
  - relu
  - maxpool: {size: 4}
  - conv: {out: 2, kernel: 3}
  - batchnorm
  - relu
  - dense: {out: classes}
recipe: {optimizer: {sgd: {momentum: 0.9}}, rate: 0.01, batch: 4, epochs: 1}
"""

    def set_up(self, folder, chance):
        super().set_up(folder, chance)
        with open(os.path.join(folder, "tiny.yaml"), "w", encoding="utf-8") as file:
            file.write(self.NETWORK)

    def words(self, folder, chance):
        return [self.place.trainer, "train", "--model", "tiny.yaml", "--data", self.place.data, "--limit-train", "12", "--checkpoint-every", "2steps", "--quiet",
                "--resume-if-there", "--out", "runs/trial", "--threads", "1", "--device", "cuda", "--engine", "libraries"]

    def environment(self, folder):
        return {"CUDA_VISIBLE_DEVICES": "0"}


class Scenario:
    """A command, and the folder in which it is tried each time."""

    def __init__(self, command, chance):
        self.command, self.place = command, command.place
        self.start = command.place.case_folder(f"{command.name}-start")
        command.set_up(self.start, chance)
        self.seconds = command.learn(chance)

    def folder(self, name):
        path = self.place.case_folder(name)
        shutil.copytree(self.start, path, symlinks=True)
        return path

    def listed(self, failing, more=None):
        """The lines of a log of the command, which nothing disturbs."""
        folder = self.folder(f"{self.command.name}-listed")
        log = os.path.join(self.place.folder, f"{self.command.name}.log")
        environment = {**self.command.environment(folder), **(more or {}), **({} if failing else {"TRAINER_EMULATOR_REPORT": log})}
        self.place.require(folder, self.command.words(folder, random.Random(0)), more=environment, failing=failing, log=log)
        shutil.rmtree(folder)
        if not os.path.exists(log):
            return []
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
        os.remove(log)
        return lines


def file_points(scenario, chance):
    """Each call that concerns files; of its errors all where the path is the command's own, else one."""
    points = []
    for line in scenario.listed("files"):
        number, name, path = line.split(" ", 2)
        errors = ERRORS.get(name, ("EIO",))
        own = path.startswith(scenario.place.folder) or not path.startswith(("/", "-"))
        for error in errors if own else [chance.choice(errors)]:
            points.append(Point(scenario.command.name, "files", int(number), f"{name} {path}", error))
    return points


def memory_points(scenario, chance, seen):
    """An allocation of each call stack that no scenario before it had."""
    points = []
    for line in scenario.listed(f"memory:{chance.randrange(1, 1 << 30)}"):
        number, _, stack = line.split(" ", 2)
        if stack not in seen:
            seen.add(stack)
            points.append(Point(scenario.command.name, "memory", int(number), stack))
    return points


def gpu_points(scenario):
    """Each call of the emulated runtime and libraries, and each kernel; none if the program has no emulated GPU."""
    counts = {}
    for line in scenario.listed(""):
        words = line.rsplit(" ", 1)
        if line.startswith(("call ", "launch ")) and words[-1].isdigit():
            name = words[0].removeprefix("call ") if line.startswith("call ") else "launch"
            counts[name] = counts.get(name, 0) + int(words[1])
    return [Point(scenario.command.name, "gpu", nth, name) for name, count in counts.items() for nth in range(1, count + 1)]
