"""The kernels of a training step and of a step of the test, in launch order (models/network.cpp), and their times."""
from gpu_model import closing
from gpu_model.first_layer import FirstLayer
from gpu_model.head import Head
from gpu_model.kernel import rounds_of
from gpu_model.products import ProductLayer

ELEMENT_BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2}
GELU = 41           # instructions of a value's normalisation and GELU, place and batch included [sass]
GRADIENT = 19       # additional ones for its derivative and their sums [sass]
IEEE_DIVISION = 4   # additional ones for an IEEE division [sass]
STATISTICS = 15     # instructions of a range's two sums in double [sass]


class Model:
    def __init__(self, network, device, sources, precision="fp32"):
        self.network, self.device, self.sources, self.precision = network, device, sources, precision
        self.element = ELEMENT_BYTES[precision]

    # Shared by several kernels.
    def gelu(self, layer):
        if not layer.gelu:
            return GELU // 2
        return GELU + (IEEE_DIVISION if self.sources.has("math/gelu.hpp", "gelu_sigmoid", "1 / (1 +") else 0)

    def gelu_gradient(self, layer):
        return self.gelu(layer) + (GRADIENT if layer.gelu else 0)

    def waits_by_hand(self, file, function):
        return ".sync()" not in self.sources.function(file, function)

    def sum_slice(self, kernel, rows, shares):
        """norm_sums.cuh: the sums of a block, then of the blocks that share a slice, then once more of a block."""
        kernel.rounds("sums of a block", rounds_of(rows) + 1)
        if shares == 1:
            return
        kernel.wait(self.waits_by_hand("norm_sums.cuh", "sum_slice"))
        kernel.loop("sums of all blocks", -(-shares // rows), STATISTICS, 2,
                    self.sources.in_a_row("norm_sums.cuh", "sum_slice", "slice[", 2))
        kernel.rounds("sums of a block", rounds_of(rows) + 1)

    # The steps.
    def forward(self, training):
        batch = self.network.batch
        for layer in self.network.layers:
            if layer.kind == "first":
                first = FirstLayer(self, layer, batch)
                yield first.first_norm(training) if layer.norm else first.first_conv(training)
            elif layer.kind == "head":
                yield Head(self, layer, batch).forward(training)
            else:
                product = ProductLayer(self, layer, batch)
                yield product.product_norm(training) if layer.norm else product.small_product(training)

    def backward(self):
        batch = self.network.batch
        for layer in reversed(self.network.layers):
            if layer.kind == "first":
                first = FirstLayer(self, layer, batch)
                yield first.first_norm_backward() if layer.norm else first.first_conv_backward()
            elif layer.kind == "head":
                yield Head(self, layer, batch).backward()
            else:
                product = ProductLayer(self, layer, batch)
                if layer.norm:
                    yield product.normalise_backward()
                yield product.product_backward()

    def training_step(self):
        close = closing.muon if self.network.matrices else closing.update
        return [*self.forward(True), *self.backward(), close(self)]

    def test_step(self):
        return [*self.forward(False), closing.advance(self)]

    def result(self):
        training, test = self.training_step(), self.test_step()
        step_us, test_us = sum(k.us for k in training), sum(k.us for k in test)
        total = self.network.steps * step_us + self.network.test_steps * test_us
        return {"network": self.network.name, "precision": self.precision, "device": self.device.name, "batch": self.network.batch,
                "kernels": [k.row() for k in training], "test_kernels": [k.row() for k in test], "step_us": round(step_us, 1),
                "steps": self.network.steps, "test_step_us": round(test_us, 1), "test_steps": self.network.test_steps,
                "test_us": round(self.network.test_steps * test_us, 1), "total_ms": round(total / 1e3, 2)}
