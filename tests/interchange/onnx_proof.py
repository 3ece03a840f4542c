#!/usr/bin/env python3
"""Holds exported ONNX models against the program itself, with ONNX's own tools:
  the checker with full_check and strict shape inference accept the model, and its input and output are what they should be;
  onnxruntime's probabilities of all test images are within 1e-4 of those of `trainer eval --precision fp32 --views 1`; a network with logits
  in the thousands (tf-sample, whose first weights are from N(0, 1)) cannot be held to that where classes are nearly level, since
  fp32 itself rounds such sums by more: there the bound is 2^-18 of the image's largest logit, and such images are counted;
  its predictions are the same, except where the program's two largest logits lie within 2e-4.

    tests/interchange/onnx_proof.py --trainer build/cpu/trainer/trainer --data data/mnist --opset 17 RUN...

RUN is a run's folder. Prints a line for each; exit code 1 if one fails, 77 if onnx or onnxruntime is not there.
"""
import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
except ImportError as error:
    print(f"skipped: {error} (pip install numpy onnx onnxruntime)")
    sys.exit(77)

MOST_OFF = 1e-4  # of a probability
ROUNDING = 2.0 ** -18  # of a logit, relative to the largest: about 60 units in the last place
NEARLY_EQUAL = 2e-4  # two logits


def said(options, *words):
    done = subprocess.run([options.trainer, *words], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"trainer {' '.join(words)}: exit code {done.returncode}")
    return done.stdout


def read_idx(folder, name):
    path = os.path.join(folder, name)
    data = open(path, "rb").read() if os.path.exists(path) else gzip.open(path + ".gz").read()
    shape = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def check_form(model, shape, classes):
    """The model as ONNX's own tools see it; `shape` is that of the test images."""
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    found = []
    for value in [*model.graph.input, *model.graph.output]:
        tensor = value.type.tensor_type
        found.append((value.name, tensor.elem_type, [d.dim_param or d.dim_value for d in tensor.shape.dim]))
    wanted = [("image", onnx.TensorProto.UINT8, ["N", 1, *shape]), ("probabilities", onnx.TensorProto.FLOAT, ["N", classes])]
    assert found == wanted, f"input and output are {found}"


def prove(options, run, opset, images):
    with tempfile.TemporaryDirectory() as folder:
        path, table = os.path.join(folder, "model.onnx"), os.path.join(folder, "logits.csv")
        said(options, "export", run, "-o", path, "--opset", str(opset))
        score = json.loads(said(options, "eval", run, "--views", "1", "--precision", "fp32", "--data", options.data, "--logits", table, "--json"))
        rows = np.loadtxt(table, delimiter=",", skiprows=1, dtype=np.float64)
        model = onnx.load(path)
    logits = rows[:, 2:]
    assert len(rows) == score["images"] == len(images) and np.mean(rows[:, 0] == rows[:, 1]) == score["accuracy"]
    check_form(model, images.shape[1:], logits.shape[1])
    assert model.opset_import[0].version == opset
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    batches = [images[at:at + 999, None] for at in range(0, len(images), 999)]  # of two sizes, since N is free
    theirs = np.concatenate([session.run(["probabilities"], {"image": batch})[0] for batch in batches])
    ours = np.exp(logits - logits.max(1, keepdims=True))
    ours /= ours.sum(1, keepdims=True)
    off = np.abs(theirs - ours).max(1)
    allowed = np.maximum(MOST_OFF, ROUNDING * np.abs(logits).max(1))
    two = np.sort(logits, 1)[:, -2:]
    differ = (theirs.argmax(1) != rows[:, 1]) & (two[:, 1] - two[:, 0] > NEARLY_EQUAL)
    return {"network": score["model"], "opset": opset, "images": len(images), "accuracy": score["accuracy"],
            "largest_difference": float(off.max()), "images_over_1e-4": int((off > MOST_OFF).sum()),
            "predictions_that_differ": int(differ.sum()), "passed": bool((off <= allowed).all() and not differ.any())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", required=True)
    parser.add_argument("--data", required=True, help="a folder with the test images as IDX files")
    parser.add_argument("--opset", type=int, action="append", help="each is tried [17]")
    parser.add_argument("runs", nargs="+", metavar="RUN")
    options = parser.parse_args()
    images = read_idx(options.data, "t10k-images-idx3-ubyte")
    failed = 0
    for run in options.runs:
        for opset in options.opset or [17]:
            result = prove(options, run, opset, images)
            failed += not result["passed"]
            print(json.dumps(result), flush=True)
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}: {'FAILED' if failed else 'passed'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
