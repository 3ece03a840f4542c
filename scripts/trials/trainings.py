"""A command that is tried: how it is given, given again after it was cut short, and what it must have made in the end. Then the trainings."""
import contextlib
import json
import os
import shutil

import world


class Command:
    """One way to use the program. `files` are those that it replaces as a whole."""
    name = ""
    files = ()
    leaves = ()  # hidden files that are meant to stay

    def __init__(self, place):
        self.place = place
        self.allowed = {}  # what may be in such a file: the old contents or the new ones
        self.wanted = None

    def set_up(self, folder, chance):
        """The folder in which the command runs, new for each case."""
        shutil.copytree(self.place.template, folder)

    def words(self, folder, chance):
        """The command, also when it is given again."""
        raise NotImplementedError

    def environment(self, folder):
        return {}

    def result(self, folder):
        """What the command has made, as far as it is the same each time."""
        return {name: world.digest(os.path.join(folder, name)) for name in self.files}

    def learn(self, chance):
        """Runs the command undisturbed, once to know what it makes, and again to know how long that takes."""
        seconds = []
        for turn in range(2):
            folder = self.place.case_folder(f"{self.name}-undisturbed")
            self.set_up(folder, chance)
            before = {name: world.digest(path) for name in self.files if os.path.exists(path := os.path.join(folder, name))}
            seconds.append(self.place.require(folder, self.words(folder, chance), more=self.environment(folder)).seconds)
            result = self.result(folder)
            if turn and result != self.wanted:
                raise SystemExit(f"error: {self.name}: twice undisturbed, and two results: {self.wanted} and {result}")
            self.wanted = result
            for name in self.files:
                self.allowed[name] = {value for value in (before.get(name), world.digest(os.path.join(folder, name))) if value}
        shutil.rmtree(folder)
        return sum(seconds) / len(seconds)

    def wrong_between(self, folder, chance):
        """What is wrong after the command was cut short."""
        found = world.damage(folder)
        for name, allowed in self.allowed.items():
            path = os.path.join(folder, name)
            if os.path.exists(path) and world.digest(path) not in allowed:
                found.append(f"{name} has neither its old contents nor the new ones")
        if chance.random() < 0.25 and os.path.isdir(os.path.join(folder, "runs")):
            listed = self.place.run(folder, [self.place.trainer, "runs", "list", "--json"])
            if listed.status != 0:
                found.append(f"runs list: {listed.text()}")
        return found

    def wrong_in_the_end(self, folder):
        found = world.damage(folder)
        with contextlib.suppress(OSError, ValueError, KeyError):
            if (result := self.result(folder)) != self.wanted:
                found.append(f"made {result}, not {self.wanted}")
            left = [name for name in world.hidden(folder) if name not in self.leaves]
            return found + [f"left behind: {name}" for name in left]
        return [*found, "its result cannot be read"]


class Training(Command):
    """A training that is resumed, with any number of threads, ends with the weights and metrics of one that was not broken."""
    name = "train"
    bits = ()
    ranks = (1,)
    tensorboard = 0.25

    def set_up(self, folder, chance):
        os.makedirs(os.path.join(folder, "runs"))
        self.events = chance.random() < self.tensorboard

    def count(self, chance):
        return ["--threads", str(chance.choice((1, 2, 3)))]

    def words(self, folder, chance):
        run = os.path.join(folder, "runs/trial")
        if os.path.exists(os.path.join(run, "checkpoint.safetensors")) and chance.random() < 0.5:
            return [self.place.trainer, "train", "--resume", "runs/trial", "--data", self.place.data, "--quiet", "--device", "cpu", *self.count(chance)]
        return self.place.training("--epochs", "4", *self.bits, "--resume-if-there", "--out", "runs/trial", *self.count(chance),
                                   *(["--tensorboard"] if self.events else []))

    def result(self, folder):
        run = os.path.join(folder, "runs/trial")
        with open(os.path.join(run, "run.json"), encoding="utf-8") as file:
            record = json.load(file)
        return {"weights": world.weights_digest(os.path.join(run, "model.safetensors")), "metrics": world.metrics(os.path.join(run, "metrics.jsonl")),
                "status": record["status"], "digest": record["results"].get("digest")}

    def wrong_between(self, folder, chance):
        run = os.path.join(folder, "runs/trial")
        found = super().wrong_between(folder, chance)
        if chance.random() < 0.25 and os.path.exists(os.path.join(run, "checkpoint.safetensors")):
            opened = self.place.run(folder, [self.place.trainer, "eval", run, "--data", self.place.data, "--threads", "1", "--device", "cpu"])
            if opened.status != 0:
                found.append(f"its last checkpoint does not open: {opened.text()}")
        return found


class Ranks(Training):
    """The same with portable bits and another number of ranks each time."""
    name = "ranks"
    bits = ("--bits", "portable")
    tensorboard = 0.0

    def count(self, chance):
        ranks = chance.choice((1, 1, 2, 2, 4))
        return ["--threads", "1", *(["--ranks", str(ranks)] if ranks > 1 else [])]

    def result(self, folder):
        """The sums of the losses of several ranks may differ in their last bits; the weights may not."""
        result = super().result(folder)
        result["metrics"] = [{key: value for key, value in line.items() if not key.endswith("loss")} for line in result["metrics"]]
        return result

    def environment(self, folder):
        return {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
                "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_hwloc_base_binding_policy": "none"}


class Resume(Command):
    """A run goes on from its checkpoint, on one thread: the same calls each time."""
    name = "resume"
    result = Training.result

    def set_up(self, folder, chance):
        os.makedirs(os.path.join(folder, "runs"))
        shutil.copytree(os.path.join(self.place.template, "runs/second"), os.path.join(folder, "runs/trial"))

    def words(self, folder, chance):
        return [self.place.trainer, "train", "--resume", "runs/trial", "--data", self.place.data, "--quiet", "--device", "cpu", "--threads", "1"]


class Begin(Training):
    """A training from its beginning, on one thread: the same calls each time."""
    name = "begin"
    tensorboard = 0.0

    def count(self, chance):
        return ["--threads", "1"]
