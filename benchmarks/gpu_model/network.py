"""A network as `trainer models NAME --json` describes it, in the ops that the GPU engine makes of it
(models/lower.cpp): a product includes the layers fused after it."""
import json
import math
import re
import subprocess
from dataclasses import dataclass, field

IMAGES = {"train": 60000, "test": 10000}
OP = re.compile(r"(?P<kind>conv|dense|head|batchnorm)\b ?(?P<rest>.*)")


@dataclass
class Layer:
    """A product with its pool and the layers fused after it. A dense layer is a convolution of one-pixel maps."""
    name: str
    kind: str               # first: a convolution of grey images; conv; dense; head
    out: int
    c: int = 1              # of x
    h: int = 1
    w: int = 1
    kernel: int = 1
    pool: int = 1
    bias: bool = False
    norm: bool = False      # followed by GELU
    relu: bool = False
    gelu: bool = False

    @property
    def map(self):
        return self.h - self.kernel + 1, self.w - self.kernel + 1

    @property
    def rows(self):
        return self.map[0] // self.pool

    @property
    def columns(self):
        return self.map[1] // self.pool

    @property
    def outputs(self):
        return self.rows * self.columns

    @property
    def terms(self):
        """Terms per output."""
        return self.kernel ** 2 * self.c

    @property
    def area(self):
        return self.pool ** 2

    def flop(self, batch):
        """FLOP of the forward product, without outputs that the pool drops, which nobody needs."""
        return 2 * batch * self.outputs * self.area * self.out * self.terms


@dataclass
class Network:
    name: str
    batch: int
    layers: list
    steps: int
    matrices: list = field(default_factory=list)  # (rows, columns) of the weights that Muon updates
    segments: list = field(default_factory=list)  # elements of the other trainable parameters
    passes: int = 0
    selects: bool = False

    @property
    def test_steps(self):
        return math.ceil(IMAGES["test"] / self.batch)


def numbers(text):
    return [int(n) for n in re.findall(r"\d+", text)]


def layer_of(op):
    found = OP.match(op["op"])
    kind, rest = found["kind"], found["rest"]
    name = op["layers"][0]
    bias = any(p["name"].endswith(".bias") for p in op["parameters"])
    if kind == "head":
        into, out = numbers(rest)[:2]
        return Layer(name, kind, out, c=into, bias=bias)
    if kind == "dense":
        into, out = numbers(rest)[:2]
        return Layer(name, kind, out, c=into, bias=bias, relu="relu" in rest)
    kernel, _, out, h, w, c = numbers(rest)[:6]
    pool = re.search(r"maxpool (\d+)", rest)
    return Layer(name, "first" if c == 1 else "conv", out, c, h, w, kernel, int(pool.group(1)) if pool else 1, bias,
                 relu="relu" in rest)


def layers_of(ops):
    layers = []
    for op in ops:
        if op["op"].startswith("batchnorm"):
            layers[-1].norm = True
            layers[-1].gelu = "gelu" in op["op"]
        else:
            layers.append(layer_of(op))
    return layers


def parse(plan):
    recipe = plan["recipe"]
    batch = plan["input"]["batch"]
    steps = recipe.get("steps") or recipe["epochs"] * math.ceil(IMAGES["train"] / batch)
    network = Network(plan["model"], batch, layers_of(plan["ops"]), steps, selects="keep" in recipe)
    muon = [g for g in recipe.get("groups", []) if "muon" in g["optimizer"]]
    taken = {f"{name}.weight" for group in muon for name in group["weights"]}
    network.passes = max([g["optimizer"]["muon"]["passes"] for g in muon], default=0)
    for parameter in (p for op in plan["ops"] for p in op["parameters"] if "running" not in p["name"]):
        shape = parameter["shape"]
        if parameter["name"] in taken:
            network.matrices.append((shape[0], math.prod(shape[1:])))
        else:
            network.segments.append(math.prod(shape))
    return network


def described(trainer, name):
    """The description by the program itself."""
    ran = subprocess.run([trainer, "models", name, "--json"], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise ValueError(f"{trainer} models {name} --json: {ran.stderr.strip()}")
    return parse(json.loads(ran.stdout))


def read(path):
    with open(path, encoding="utf-8") as file:
        return parse(json.load(file))
