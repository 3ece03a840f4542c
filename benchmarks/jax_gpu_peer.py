#!/usr/bin/env python3
"""The JAX peer of gpu_vs_torch.py: an epoch is one jitted call, a lax.scan over its steps, with the order drawn on the
device and the state donated; the test is another. The last batch is filled up with the epoch's first images.
fp32 and tf32 are XLA's own precisions of products; bf16 and fp16 round the operands of products.
"""
import functools
import os

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # so that the memory in use can be seen

import jax  # noqa: E402  (the line above must come first)
import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

import peer  # noqa: E402

DTYPES = {"bf16": jnp.bfloat16, "fp16": jnp.float16}


def forward(layers, dtype, weights, x, key):
    """x: [n, 28, 28, 1]; key: for dropout, None in a test."""
    pairs = iter(weights)
    for number, layer in enumerate(layers):
        if layer["kind"] == "conv":
            w, b = next(pairs)
            x = lax.conv_general_dilated(x.astype(dtype), w.astype(dtype), (1, 1), "SAME" if layer["same"] else "VALID",
                                         dimension_numbers=("NHWC", "OIHW", "NHWC")).astype(jnp.float32) + b
        elif layer["kind"] == "dense":
            w, b = next(pairs)
            x = (x.reshape(len(x), -1).astype(dtype) @ w.T.astype(dtype)).astype(jnp.float32) + b
        elif layer["kind"] == "relu":
            x = jax.nn.relu(x)
        elif layer["kind"] == "maxpool":
            window, strides = (1, layer["size"], layer["size"], 1), (1, layer["stride"], layer["stride"], 1)
            x = lax.reduce_window(x, -jnp.inf, lax.max, window, strides, "VALID")
        elif key is not None:  # dropout
            keep = 1 - layer["drop"]
            x = jnp.where(jax.random.bernoulli(jax.random.fold_in(key, number), keep, x.shape), x / keep, 0)
    return x


def loss_of(layers, dtype, weights, x, y, key):
    logits = forward(layers, dtype, weights, x, key)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))


def update(name, values, w, g, m, v, rate, step):
    """One tensor's step of adam, adamw (without its decay), adadelta or sgd; m and v are its two states."""
    if name in ("adam", "adamw"):
        b1, b2 = values["beta1"], values["beta2"]
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        t = (step + 1).astype(jnp.float32)
        return w - rate * (m / (1 - b1 ** t)) / (jnp.sqrt(v / (1 - b2 ** t)) + values["epsilon"]), m, v
    if name == "adadelta":
        rho, eps = values["rho"], values["epsilon"]
        m = rho * m + (1 - rho) * g * g
        d = g * jnp.sqrt(v + eps) / jnp.sqrt(m + eps)
        return w - rate * d, m, rho * v + (1 - rho) * d * d
    momentum = values.get("momentum", 0.0)
    m = momentum * m + (1 - momentum if values.get("unit_gain") else 1) * g
    return w - rate * m, m, v


class Engine:
    """train_epoch and accuracy return when the device has finished."""

    def __init__(self, network, options):
        self.network, self.options = network, options
        self.x, self.y = (jnp.asarray(part) for part in peer.training_data(network, options))
        test_images, test_labels = peer.load(network, options.data, "test")
        self.test = jnp.asarray(test_images), jnp.asarray(test_labels)
        self.dtype = DTYPES.get(options.precision, jnp.float32)
        recipe = network.recipe
        count, self.batch = len(self.x), network.batch
        self.steps = count // self.batch if recipe["last_batch"] == "drop" else -(-count // self.batch)
        self.rates = jnp.asarray(network.rates(options.epochs * self.steps, self.steps), jnp.float32)
        self.epoch = jax.jit(self._epoch, donate_argnums=0)
        self.correct = jax.jit(functools.partial(self._hits))
        self.reset(1)

    def reset(self, seed):
        weights = [tuple(jnp.asarray(part) for part in pair) for pair in self.network.starting_weights(seed)]
        zeros = jax.tree.map(jnp.zeros_like, weights)
        self.state = (weights, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros((), jnp.int32))
        self.key = jax.random.key(seed)

    def _decayed(self, weights, gradients):
        rule, factor = self.network.recipe["weight_decay"], self.network.recipe["bias_rate_factor"]
        pairs = []
        for layer, (w, b), (dw, db) in zip(self.network.weighted(), weights, gradients):
            amount = rule["amount"] if rule["layers"] == "all" or layer["kind"] == "dense" else 0.0
            pairs.append((dw + amount * w, (db + (amount * b if rule["biases"] else 0)), 1.0, factor))
        return pairs

    def _step(self, carry, rows, x, y, key):
        weights, m, v, step = carry
        rate = self.rates[step % len(self.rates)]
        gradients = jax.grad(functools.partial(loss_of, self.network.layers, self.dtype))(
            weights, x[rows], y[rows], jax.random.fold_in(key, step))
        name, values = self.network.optimizer()
        moved = []
        for pair, (dw, db, *factors), pair_m, pair_v in zip(weights, self._decayed(weights, gradients), m, v):
            moved.append([update(name, values, w, g, a, c, rate * factor, step)
                          for w, g, a, c, factor in zip(pair, (dw, db), pair_m, pair_v, factors)])
        return tuple([tuple(part[i] for part in pair) for pair in moved] for i in range(3)) + (step + 1,), None

    def _epoch(self, state, x, y, key):
        count = len(x)
        order = jax.random.permutation(key, count) if self.network.recipe["order"] == "shuffled" else jnp.arange(count)
        order = jnp.resize(order, self.steps * self.batch).reshape(self.steps, self.batch)
        return lax.scan(lambda carry, rows: self._step(carry, rows, x, y, key), state, order)[0]

    def _hits(self, weights, x, y):
        def one(correct, pair):
            logits = forward(self.network.layers, self.dtype, weights, pair[0], None)
            return correct + jnp.sum(jnp.argmax(logits, 1) == pair[1]), None
        parts = x.reshape(-1, 1000, *x.shape[1:]), y.reshape(-1, 1000)
        return lax.scan(one, jnp.zeros((), jnp.int32), parts)[0]

    def train_epoch(self):
        self.key, key = jax.random.split(self.key)
        self.state = jax.block_until_ready(self.epoch(self.state, self.x, self.y, key))

    def accuracy(self):
        return int(self.correct(self.state[0], *self.test)) / len(self.test[1])


def main():
    options = peer.arguments(["jax"])
    if options.device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    precisions = {"fp32": "highest", "tf32": "tensorfloat32"}
    jax.config.update("jax_default_matmul_precision", precisions.get(options.precision, "default"))
    device = jax.devices()[0]
    if options.device == "cuda" and device.platform != "gpu":
        raise RuntimeError(f"JAX sees no GPU, only {device}")
    network = peer.Network(options.plan)
    peer.serve(lambda: Engine(network, options), options, {"jax": jax.__version__, "device": str(device)})


if __name__ == "__main__":
    main()
