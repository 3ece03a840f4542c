"""What the peers of gpu_vs_torch.py share: a network and its recipe as `trainer models NAME --json` describes them, the
data, the starting weights, and the protocol with gpu_vs_torch.py, one JSON value per line.

A peer says {"event": "ready", ...} once it is compiled and warm, then replies to each line that it receives:
  {"do": "epoch"}                                       trains one epoch           {"seconds"}
  {"do": "target", "accuracy": 0.99, "epochs": N, "seed": S}  from new weights, with a test after each epoch, until it
                                                        is reached                 {"seconds", "epochs", "accuracy", "reached"}
  {"do": "stretch", "epochs": N}                        N epochs, a test after each {"seconds"}
All times include the device's completion.
"""
import argparse
import gzip
import json
import os
import re
import sys
import time

import numpy as np

FILES = {"train": "train", "test": "t10k"}


def arguments(engines):
    parser = argparse.ArgumentParser()
    parser.add_argument("--plan", required=True, help="a file: what trainer models NAME --json prints")
    parser.add_argument("--data", required=True)
    parser.add_argument("--engine", choices=engines, default=engines[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--images", type=int, default=60000, help="train on the first so many")
    parser.add_argument("--once", type=float, help="train to this accuracy as a script would, say how, and end")
    parser.add_argument("--epochs", type=int, default=1, help="that the schedule is made for; of --once, at most")
    return parser.parse_args()


class Network:
    """The plan in a form from which a framework can build the network in a few lines."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            plan = json.load(file)
        self.name, self.recipe, self.parameters = plan["model"], plan["recipe"], plan["parameters"]
        self.batch = self.recipe["batch"]
        self.layers = self._layers(plan)

    @staticmethod
    def _layers(plan):
        """Each a dict: kind, and k, out, same / size, stride / out / drop; "inputs" of a conv are its channels."""
        shape = [plan["input"][name] for name in ("height", "width", "channels")]
        layers = []
        for entry in plan["layers"]:
            words = entry["layer"].split()
            layer = {"kind": words[0], "in": list(shape), "out": entry["out"], "name": entry["name"]}
            if words[0] == "conv":
                k, _, channels = (int(number) for number in words[1].split("x"))
                layer.update(k=k, channels=channels, same=words[2] == "same")
            elif words[0] == "maxpool":
                numbers = [int(number) for number in re.findall(r"\d+", entry["layer"])]
                layer.update(size=numbers[0], stride=numbers[-1])
            elif words[0] == "dense":
                layer.update(channels=int(words[1]))
            elif words[0] == "dropout":
                layer.update(drop=float(words[1]))
            elif words[0] != "relu":
                raise ValueError(f"{entry['layer']}: no peer has such a layer yet")
            layers.append(layer)
            shape = entry["out"]
        return layers

    def weighted(self):
        return [layer for layer in self.layers if layer["kind"] in ("conv", "dense")]

    def starting_weights(self, seed):
        """[(weight, bias)] by the recipe's rule; weights are out, in, k, k for a convolution and out, in for a dense layer."""
        bits = np.random.default_rng(seed)
        rule = self.recipe["initialize"]
        pairs = []
        for layer in self.weighted():
            if layer["kind"] == "conv":
                shape = (layer["channels"], layer["in"][2], layer["k"], layer["k"])
            else:
                shape = (layer["channels"], int(np.prod(layer["in"])))
            fan_in = int(np.prod(shape[1:]))
            fan_out = shape[0] * int(np.prod(shape[2:]))
            pairs.append(tuple(draw(bits, how, size, fan_in, fan_out)
                               for how, size in ((rule["weights"], shape), (rule["biases"], shape[:1]))))
        assert sum(w.size + b.size for w, b in pairs) == self.parameters, "not the trainer's network"
        return pairs

    def rates(self, steps, epoch_steps):
        """The learning rate of each step."""
        base, schedule = self.recipe["rate"], self.recipe["schedule"]
        step = np.arange(steps)
        if schedule == "constant":
            return np.full(steps, base)
        kind, values = next(iter(schedule.items()))
        epoch = step // epoch_steps
        if kind == "one_cycle":
            peak = max(values["warmup"] * steps - 1, 1)
            low = base / values["start_divisor"]
            up = low + (base - low) * (1 - np.cos(np.pi * np.minimum(step / peak, 1))) / 2
            down_part = np.clip((step - peak) / max(steps - 1 - peak, 1), 0, 1)
            last = low / values["end_divisor"]
            return np.where(step <= peak, up, last + (base - last) * (1 + np.cos(np.pi * down_part)) / 2)
        if kind == "exponential":
            return base * values["decay"] ** epoch
        if kind == "inverse":
            return base * (1 + values["gamma"] * step) ** -values["power"]
        starts = sorted(int(start) for start in values)  # steps: {epoch: factor}
        return base * np.array([values[str(max(s for s in starts if s <= e))] for e in epoch])

    def optimizer(self):
        """(name, its values); of a momentum that changes with the epoch, the last value."""
        chosen = self.recipe["optimizer"]
        if isinstance(chosen, str):
            return chosen, {}
        name, values = next(iter(chosen.items()))
        values = dict(values)
        if isinstance(values.get("momentum"), dict):
            values["momentum"] = list(values["momentum"].values())[-1] if values["momentum"] else 0.0
        return name, values


def draw(bits, rule, shape, fan_in, fan_out):
    if isinstance(rule, dict):
        name, value = next(iter(rule.items()))
        if name == "constant":
            return np.full(shape, value, np.float32)
        normal = bits.standard_normal(shape)
        if name == "truncated_normal":
            normal = np.clip(normal, -2, 2)
        return (value * normal).astype(np.float32)
    if rule == "zeros":
        return np.zeros(shape, np.float32)
    bound = {"uniform_fan_in": fan_in ** -0.5, "xavier_uniform": (3 / fan_in) ** 0.5,
             "glorot_uniform": (6 / (fan_in + fan_out)) ** 0.5}[rule]
    return bits.uniform(-bound, bound, shape).astype(np.float32)


def read(folder, name):
    with gzip.open(os.path.join(folder, name + ".gz")) as file:
        return np.frombuffer(file.read(), np.uint8)


def load(network, folder, split, first=0, count=None):
    """(images [n, 28, 28, 1] normalised as the recipe says, float32; labels [n])."""
    stem = FILES[split]
    images = read(folder, f"{stem}-images-idx3-ubyte")[16:].reshape(-1, 28, 28, 1)[first:]
    labels = read(folder, f"{stem}-labels-idx1-ubyte")[8:][first:]
    rule = network.recipe["input"]
    scaled = (images[:count].astype(np.float32) * rule["scale"] - rule["mean"]) / rule["deviation"]
    return scaled, labels[:count].astype(np.int32)


def training_data(network, options):
    return load(network, options.data, "train", network.recipe["hold_out_first"], options.images)


def to_target(engine, accuracy, epochs, seed):
    engine.reset(seed)
    begin = time.perf_counter()
    reached, done = 0.0, 0
    while done < epochs and reached < accuracy:
        engine.train_epoch()
        reached = engine.accuracy()
        done += 1
    return {"seconds": time.perf_counter() - begin, "epochs": done, "accuracy": reached, "reached": reached >= accuracy}


def answer(engine, request):
    begin = time.perf_counter()
    if request["do"] == "target":
        return to_target(engine, request["accuracy"], request["epochs"], request["seed"])
    if request["do"] == "epoch":
        engine.train_epoch()
    elif request["do"] == "stretch":
        for _ in range(request["epochs"]):
            engine.train_epoch()
            engine.accuracy()
    else:
        raise ValueError(f"unknown request {request}")
    return {"seconds": time.perf_counter() - begin}


def serve(make_engine, options, versions):
    """Reserves standard output for the protocol; what a framework prints goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(value):
        print(json.dumps(value), file=out, flush=True)

    begin = time.perf_counter()
    engine = make_engine()
    if options.once:
        tell(dict(to_target(engine, options.once, options.epochs, 1), versions=versions))
        return
    first = answer(engine, {"do": "epoch"})["seconds"]
    answer(engine, {"do": "stretch", "epochs": 1})
    tell({"event": "ready", "versions": versions, "first_epoch_seconds": first,
          "prepare_seconds": time.perf_counter() - begin})
    for line in sys.stdin:
        tell(answer(engine, json.loads(line)))
