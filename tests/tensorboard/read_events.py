"""Reads a run's events with TensorBoard's own package and holds them against the run's folder.

usage: read_events.py RUN [EVENTS]
RUN is a run's folder, which has its events; or EVENTS has a folder of that name with those that were exported.
Exits with 0 if every value is the one of metrics.jsonl, rounded to fp32, and weights, pictures, recipe and table are there.
"""
import json
import os
import struct
import sys
import zlib

import numpy
from safetensors.numpy import load_file
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import backend_context

TAGS = {
    "train_loss": "loss/train",
    "train_accuracy": "accuracy/train",
    "test_loss": "loss/test",
    "test_accuracy": "accuracy/test",
    "validation_loss": "loss/validation",
    "validation_accuracy": "accuracy/validation",
    "learning_rate": "training/learning_rate",
    "images_per_second": "training/images_per_second",
    "seconds": "time/seconds",
    "evaluation_seconds": "time/evaluation_seconds",
    "exchange_seconds": "time/exchange_seconds",
}


def check_scalars(events, lines, results):
    wanted = {}
    if "energy_joules" in results:
        wanted["training/energy_joules"] = [(results["step"], float(numpy.float32(results["energy_joules"])))]
    for line in lines:
        step = line["epoch"] if "seed" in line else line["step"]
        for key, tag in TAGS.items():
            if line.get(key) is not None:
                wanted.setdefault(tag, []).append((step, float(numpy.float32(line[key]))))
    read = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert read == wanted, (read, wanted)
    times = [e.wall_time for e in events.Scalars("loss/test")]
    assert times == sorted(times) and times[0] > 1.7e9, times


def check_weights(events, run, count):
    weights = load_file(os.path.join(run, "model.safetensors"))
    assert {"weights/" + name for name in weights} == set(events.Tags()["histograms"])
    for name, values in weights.items():
        read = events.Histograms("weights/" + name)
        assert len(read) == count, (name, len(read), count)
        for each in (event.histogram_value for event in read):
            assert each.num == sum(each.bucket) == values.size, name
            assert list(each.bucket_limit) == sorted(each.bucket_limit), name
        last = read[-1].histogram_value
        assert (last.min, last.max) == (values.min(), values.max()), name
        edges = [-numpy.inf, *last.bucket_limit]
        for low, high, images in zip(edges, edges[1:], last.bucket):
            near = 1e-6 * (last.max - last.min)
            inside = numpy.count_nonzero((values > low + near) & (values < high - near))
            around = numpy.count_nonzero((values >= low - near) & (values <= high + near))
            assert inside <= images <= around, name
        doubles = values.astype(numpy.float64)
        assert numpy.isclose(last.sum, doubles.sum()) and numpy.isclose(last.sum_squares, (doubles**2).sum()), name


def check_png(image):
    data, compressed, at = image.encoded_image_string, b"", 8
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0]
        if kind == b"IHDR":
            assert struct.unpack(">IIBB", body[:10]) == (image.width, image.height, 8, 2), body
        compressed += body if kind == b"IDAT" else b""
        at += 12 + size
    pixels = zlib.decompress(compressed)
    assert len(pixels) == image.height * (1 + 3 * image.width) and len(set(pixels)) > 2


def check_table(folder, name, record):
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(folder)
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, folder)
    table = backend_context.Context(TBContext(data_provider=provider))
    context = RequestContext()
    experiment = table.experiment_from_metadata(
        context, "", True, table.hparams_metadata(context, ""), table.hparams_from_data_provider(context, "", None)
    )
    names = {info.name: info for info in experiment.hparam_infos}
    assert {"model", "rate", "batch", "seed", "optimizer", "precision"} <= set(names), names
    assert names["rate"].domain_interval.min_value <= record["recipe"]["rate"] <= names["rate"].domain_interval.max_value
    assert record["model"] in [value.string_value for value in names["model"].domain_discrete.values]
    assert (name, "accuracy/test") in [(info.name.group or name, info.name.tag) for info in experiment.metric_infos]


def main(run, exported=None):
    name = os.path.basename(run)
    folder = os.path.join(exported, name) if exported else run
    with open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    with open(os.path.join(run, "run.json"), encoding="utf-8") as file:
        record = json.load(file)
    events = EventAccumulator(folder, {"scalars": 0, "histograms": 0, "images": 0, "tensors": 0})
    events.Reload()
    check_scalars(events, lines, record["results"])
    check_weights(events, run, 1 if exported or "seed" in lines[0] else len(lines))
    pictures = events.Tags()["images"]
    everything_right = record["results"].get("test", {}).get("accuracy") == 1
    assert len(pictures) == (2 if everything_right else 3), pictures
    for tag in pictures:
        check_png(events.Images(tag)[-1])
    (recipe,) = events.Tensors("recipe")
    text = recipe.tensor_proto.string_val[0].decode()
    assert "    name: " + record["model"] in text, text
    check_table(exported or os.path.dirname(run), name, record)


if __name__ == "__main__":
    main(*[os.path.abspath(word) for word in sys.argv[1:]])
