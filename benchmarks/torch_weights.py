#!/usr/bin/env python3
"""Holds weights that go to PyTorch and come from it against PyTorch itself, for every shipped network and one of every op.

  there  a network is trained for some steps, exported with --layout torch and loaded into a torch.nn.Sequential whose layers are
         named as the trainer's
  back   a torch.nn.Sequential with numbered layers and PyTorch's own first weights, whose batch normalisations have seen some
         batches, is saved by save_file and imported

Both ways PyTorch's logits of all test images must be within 1e-4 of those of `trainer eval --precision fp32 --views 1`, relative to the largest of
an image where that is above 10 (tf-sample's are in the thousands), and the record has the largest difference.

    benchmarks/torch_weights.py --trainer build/cpu/trainer/trainer [--networks quick,sprint] [--record FILE]

Needs torch, numpy and safetensors; exit code 77 without them.
"""
import argparse
import glob
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections import OrderedDict

import record

try:
    import numpy as np
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file
    from torch import nn
except ImportError as error:
    print(f"skipped: {error} (pip install torch numpy safetensors)")
    sys.exit(77)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MOST_OFF = 1e-4


def said(options, *words):
    return subprocess.run([options.trainer, *words], stdout=subprocess.PIPE, text=True, check=True).stdout


class Network(nn.Sequential):
    """A Sequential with residual blocks: Leave adds what the block got at Enter."""

    def forward(self, x):
        entered = None
        for module in self:
            if isinstance(module, Enter):
                entered = x
            x = x + entered if isinstance(module, Leave) else module(x)
        return x


class Enter(nn.Identity):
    pass


class Leave(nn.Identity):
    pass


def layers_of(layers):
    """A kind and its settings for each layer, those of a block between "enter" and "residual"."""
    for layer in layers:
        kind, settings = (layer, {}) if isinstance(layer, str) else next(iter(layer.items()))
        if kind == "residual":
            yield "enter", {}
            yield from layers_of(settings)
        yield kind, {} if kind == "residual" else {"size": settings} if settings == "global" else settings


def modules_of(kind, settings, before, out):
    """The modules of a layer; before and out are [h, w, c] or [1, 1, c]."""
    stride = settings.get("stride", settings.get("size", 1))
    if kind == "conv":
        k, padding = settings["kernel"], settings.get("padding", "valid")
        sides = [0 if padding == "valid" else padding] * 4
        if padding == "same":
            missing = [max((o - 1) * stride + k - i, 0) for i, o in zip(before[:2], out[:2])]
            sides = [missing[1] // 2, missing[1] - missing[1] // 2, missing[0] // 2, missing[0] - missing[0] // 2]
        yield "pad", nn.ZeroPad2d(sides)
        yield "", nn.Conv2d(before[2], settings["out"], k, stride, bias=settings.get("bias", True))
    elif kind == "dense":
        yield "flatten", nn.Flatten()
        yield "", nn.Linear(int(np.prod(before)), out[2], bias=settings.get("bias", True))
        yield "unflatten", nn.Unflatten(1, (out[2], 1, 1))  # so that any layer may follow
    elif kind == "batchnorm":
        yield "", nn.BatchNorm2d(out[2], eps=settings.get("epsilon", 1e-5), momentum=settings.get("momentum", 0.1))
    else:
        yield "", {"maxpool": lambda: nn.MaxPool2d(settings["size"], stride),
                   "residual": Leave,
                   "avgpool": lambda: nn.AdaptiveAvgPool2d(1) if stride == "global" else nn.AvgPool2d(settings["size"], stride),
                   "relu": nn.ReLU, "gelu": lambda: nn.GELU("tanh"), "dropout": lambda: nn.Dropout(settings["drop"]),
                   "leaky_relu": lambda: nn.LeakyReLU(settings.get("slope", 0.01))}[kind]()


def build(plan):
    before, named = [plan["input"][name] for name in ("height", "width", "channels")], OrderedDict()
    shows = plan["file"]["recipe"]["input"]
    crop = shows.get("crop")
    before = [crop, crop, before[2]] if crop else before
    entries = iter(plan["layers"])
    for kind, settings in layers_of(plan["file"]["layers"]):
        if kind == "enter":
            named[f"enter{len(named)}"] = Enter()
            continue
        entry = next(entries)
        for suffix, module in modules_of(kind, settings, before, entry["out"]):
            named[entry["name"] + suffix] = module
        before = entry["out"]
    named["logits"] = nn.Flatten()
    return named, crop, shows.get("augment", {}).get("crop")


def images_of(options):
    path = os.path.join(options.data, "t10k-images-idx3-ubyte")
    data = open(path, "rb").read() if os.path.exists(path) else gzip.open(path + ".gz").read()
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=16).reshape(-1, 1, 28, 28).copy())


def shown(images, crop, zoomed, mean, std):
    """The middle of the images, which were scaled up from their middle of `zoomed` pixels, as a network trained on crops is tested."""
    x = images / 255
    if zoomed:
        places = 13.5 + (torch.arange(28) - 13.5) * zoomed / 28
        weights = (1 - (places[:, None] - torch.arange(28)).abs()).clamp(min=0)
        x = weights @ x @ weights.T
    crop = crop or 28
    at = (28 - crop) // 2
    return ((x - mean) / std)[:, :, at:at + crop, at:at + crop]


def compare(options, run, model, x, folder):
    table = os.path.join(folder, "logits.csv")
    said(options, "eval", run, "--views", "1", "--data", options.data, "--precision", "fp32", "--logits", table)
    ours = np.loadtxt(table, delimiter=",", skiprows=1)[:, 2:]
    with torch.no_grad():
        theirs = torch.cat([model.eval()(part) for part in x.split(500)]).double().numpy()
    off = np.abs(theirs - ours).max(1)
    size = np.abs(ours).max(1)
    return {"largest_difference": float(off.max()), "largest_logit": float(size.max()),
            "passed": bool((off <= MOST_OFF * np.maximum(1, size / 10)).all())}


def there(options, name, plan, images, folder):
    run, path = os.path.join(folder, "run"), os.path.join(folder, "there.safetensors")
    said(options, "train", "--model", name, "--data", options.data, "--max-steps", "60", "--limit-train", "10000", "--out", run, "--quiet")
    said(options, "export", run, "--layout", "torch", "-o", path)
    named, *crops = build(plan)
    model = Network(named)
    with safe_open(path, "pt") as file:
        model.load_state_dict({key: file.get_tensor(key) for key in file.keys()})
        mean, std = (float(file.metadata()[key]) for key in ("mean", "std"))
    return compare(options, run, model, shown(images, *crops, mean, std), folder)


def back(options, name, plan, images, folder):
    run, path = os.path.join(folder, "imported"), os.path.join(folder, "back.safetensors")
    torch.manual_seed(1)
    named, *crops = build(plan)
    model = Network(*named.values())
    x = shown(images, *crops, 0.2, 0.4)
    with torch.no_grad():
        for part in x[:2000].split(250):
            model.train()(part)
    save_file(model.state_dict(), path)
    said(options, "import", path, "--model", name, "--data", options.data, "--mean", "0.2", "--std", "0.4", "--out", run)
    return compare(options, run, model, x, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default=os.path.join(ROOT, "build/cpu/trainer/trainer"))
    parser.add_argument("--data", default=os.path.join(ROOT, "data/mnist"))
    parser.add_argument("--networks", help="names or files, with commas between [all]")
    parser.add_argument("--record", help="where the record goes [benchmarks/records/]")
    options = parser.parse_args()
    networks = options.networks.split(",") if options.networks else [
        *sorted(glob.glob(os.path.join(ROOT, "models/*.yaml"))), os.path.join(ROOT, "tests/interchange/every_op.yaml")]
    images, cases = images_of(options), []
    for name in networks:
        plan = json.loads(said(options, "models", name, "--json"))
        for way in (there, back):
            with tempfile.TemporaryDirectory() as folder:
                cases.append({"model": plan["model"], "way": way.__name__, **way(options, name, plan, images, folder)})
            print(json.dumps(cases[-1]), flush=True)
    result = record.describe(options.trainer)
    result["versions"]["torch"] = torch.__version__
    result.update({"kind": "torch_weights", "images": len(images), "cases": cases})
    record.write("torch-weights", result, options.record)
    sys.exit(0 if all(case["passed"] for case in cases) else 1)


if __name__ == "__main__":
    main()
