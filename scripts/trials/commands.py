"""The commands that are tried, aside from the trainings."""
import json
import os
import shutil

import trainings
import world
from trainings import Command


class Bench(Command):
    """The record of bench, which replaces an earlier one. Tiny networks have the names of those that it times."""
    name = "bench"

    def __init__(self, place):
        super().__init__(place)
        self.program = os.path.join(place.folder, "installed/bin/trainer")
        share = os.path.join(place.folder, "installed/share/mnist-trainer")
        os.makedirs(os.path.dirname(self.program))
        os.makedirs(os.path.join(share, "models"))
        shutil.copy(place.trainer, self.program)
        os.symlink(os.path.join(world.ROOT, "data"), os.path.join(share, "data"))
        for network in ("quick", "pytorch-example", "tf-sample"):
            with open(os.path.join(share, "models", network + ".yaml"), "w", encoding="utf-8") as file:
                file.write(f"name: {network}\nlayers:\n  - dense: {{out: classes}}\nrecipe:\n  optimizer: {{sgd: {{momentum: 0.9}}}}\n  rate: 0.01\n  batch: 64\n  epochs: 1\n")

    def set_up(self, folder, chance):
        os.makedirs(folder)
        with open(os.path.join(folder, "bench.json"), "w", encoding="utf-8") as file:
            file.write("{}\n")

    def words(self, folder, chance):
        return [self.program, "bench", "--quick", "--device", "cpu", "--threads", "1", "--out", "bench.json"]

    def result(self, folder):
        with open(os.path.join(folder, "bench.json"), encoding="utf-8") as file:
            return {"kind": json.load(file).get("kind")}

    def wrong_in_the_end(self, folder):
        compared = self.place.run(folder, [self.program, "bench", "--compare", "bench.json", "bench.json"])
        return super().wrong_in_the_end(folder) + ([] if compared.status == 0 else [compared.text()])


class Promote(Command):
    """A second version of a registered network."""
    name = "promote"

    def set_up(self, folder, chance):
        super().set_up(folder, chance)
        self.place.require(folder, [self.place.trainer, "runs", "promote", "runs/trained", "digits", "--stage", "production"])

    def words(self, folder, chance):
        return [self.place.trainer, "runs", "promote", "runs/first", "digits", "--stage", "production"]

    def result(self, folder):
        listed = json.loads(self.place.require(folder, [self.place.trainer, "registry", "list", "--json"]).out)
        return [(one["version"], one["stage"], one["sha256"], one["run"]) for one in listed]

    def wrong_between(self, folder, chance):
        found = super().wrong_between(folder, chance)
        shown = self.place.run(folder, [self.place.trainer, "registry", "show", "digits@production", "--json"])
        return found + ([] if shown.status == 0 else [f"no version is in production: {shown.text()}"])


class Delete(Command):
    """A run is removed, and so is one whose writing was killed."""
    name = "delete"

    def words(self, folder, chance):
        runs = [name for name in ("runs/first", "runs/trained") if os.path.exists(os.path.join(folder, name))]
        return [self.place.trainer, "runs", *(["delete", "--yes", *runs] if runs else ["list"])]

    def result(self, folder):
        return {"gone": not any(os.path.exists(os.path.join(folder, "runs", name)) for name in ("first", "trained"))}

    def wrong_in_the_end(self, folder):
        """What a deletion that was killed has hidden is removed by the next one."""
        ended = self.place.run(folder, [self.place.trainer, "runs", "delete", "--yes", "runs/second"])
        return super().wrong_in_the_end(folder) + ([] if ended.status == 0 else [ended.text()])


class Fetch(Command):
    """A run that was left on a played target is fetched."""
    name = "fetch"
    leaves = ("play/home/.cache",)  # of the machine that is played

    def __init__(self, place):
        super().__init__(place)
        self.start = os.path.join(place.folder, "fetch-template")
        for program, script in world.played_programs().items():
            path = os.path.join(self.start, "bin", program)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(script)
            os.chmod(path, 0o755)
        for name, text in (("play/here/image", "layers\n"), ("play/there/image", "layers\n"), ("play/home/x", ""), ("targets/vm.runconfig", "Target: vm\n"),
                           ("targets/vm.compute", "type: remotedocker\naddress: vm.example.com\nusername: me\nbaseDockerImage: trainer:1\ngpus: none\n")):
            path = os.path.join(self.start, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        place.require(self.start, [place.trainer, "submit", "--detach", "-c", "vm", "--", *place.training("--epochs", "2", "--threads", "1")[1:]],
                      more=self.environment(self.start))
        self.run = os.listdir(os.path.join(self.start, "runs"))[0]

    def environment(self, folder):
        return {"PATH": os.path.join(folder, "bin") + ":/usr/bin:/bin", "PLAY": os.path.join(folder, "play"), "TRAINER": self.place.trainer, "XDG_RUNTIME_DIR": folder}

    def set_up(self, folder, chance):
        shutil.copytree(self.start, folder, symlinks=True)

    def words(self, folder, chance):
        return [self.place.trainer, "runs", "attach", self.run]

    def result(self, folder):
        run = os.path.join(folder, "runs", self.run)
        with open(os.path.join(run, "run.json"), encoding="utf-8") as file:
            record = json.load(file)
        return {"weights": world.weights_digest(os.path.join(run, "model.safetensors")), "status": record["status"],
                "metrics": world.metrics(os.path.join(run, "metrics.jsonl"))}


    def wrong_in_the_end(self, folder):
        left = [name for name in os.listdir(os.path.join(folder, "play/there")) if name.startswith(self.run)]
        return super().wrong_in_the_end(folder) + [f"the container is still there: {name}" for name in left]


class Write(Command):
    """A command that writes one file, in place of an earlier one."""

    def __init__(self, place, name, file, words, same=True):
        super().__init__(place)
        self.name, self.file, self.given, self.same = name, file, words, same
        self.files = (file,) if same else ()

    def set_up(self, folder, chance):
        super().set_up(folder, chance)
        shutil.copy(os.path.join(folder, "runs/second/checkpoint.safetensors"), os.path.join(folder, self.file))

    def words(self, folder, chance):
        return [self.place.trainer, *self.given]

    def result(self, folder):
        return super().result(folder) if self.same else {"size": os.path.getsize(os.path.join(folder, self.file)) > 1000}


def all_commands(place):
    """Each command by its name."""
    infer = ["--data", place.data, "--device", "cpu", "--threads", "1"]
    return {command.name: command for command in (
        trainings.Training(place), trainings.Ranks(place), trainings.Begin(place), trainings.Resume(place), Bench(place), Promote(place), Delete(place), Fetch(place),
        Write(place, "export", "net.onnx", ["export", "runs/first", "-o", "net.onnx"]),
        Write(place, "torch", "net.pt.safetensors", ["export", "runs/first", "--layout", "torch", "-o", "net.pt.safetensors"]),
        Write(place, "report", "page.html", ["runs", "report", "runs/first", "-o", "page.html", *infer], same=False),
        Write(place, "logits", "logits.csv", ["eval", "runs/first", "--logits", "logits.csv", *infer]),
        Predict(place))}


class Predict(Command):
    """What is in a picture: nothing is written."""
    name = "predict"

    def words(self, folder, chance):
        return [self.place.trainer, "predict", "runs/first", self.place.picture, "--device", "cpu", "--threads", "1"]

    def result(self, folder):
        return {}
