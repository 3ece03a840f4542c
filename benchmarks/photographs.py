#!/usr/bin/env python3
"""How well `trainer predict` reads digits as people photograph them, beside a plain pipeline that feeds the same network.

    benchmarks/photographs.py --trainer build/cpu/trainer/trainer --model runs/quick [--count 200] [--first 1000] [--kinds shadow,jpeg] [--pages FOLDER]

Every page is drawn from digits of MNIST's test set with a fixed seed, kind by kind (benchmarks/pages.py). The plain pipeline
(benchmarks/plain_pipeline.py) estimates the paper by a local percentile, thresholds by Otsu, takes the connected parts, and centres
each digit as MNIST's makers did; its 28 x 28 images are read by the same program and network. Writes a record under benchmarks/records/.

Needs numpy, and pillow, which encodes the JPEG pages.
"""
import argparse
import json
import os
import subprocess
import tempfile

import numpy
import PIL

import pages
import plain_pipeline
import record


def predict(options, files):
    """The answers of one call of the program, in the order of the files."""
    done = subprocess.run([options.trainer, "predict", options.model, *files, "--threads", str(options.threads), "--json"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return json.loads(done.stdout)


def digits_of(answer):
    return [(digit["label"], digit["probability"]) for digit in answer.get("digits", [])]


def judged(answers, wanted):
    """Accuracy, refusals, and the mean claim of right and of wrong answers. A page's claim is its least certain digit's."""
    right, wrong, refused = [], [], 0
    for digits, labels in zip(answers, wanted):
        if not digits:
            refused += 1
            continue
        claim = min(probability for _, probability in digits)
        (right if [label for label, _ in digits] == labels else wrong).append(claim)
    mean = lambda claims: sum(claims) / len(claims) if claims else None
    return {"accuracy_percent": 100 * len(right) / len(wanted), "refused": refused, "wrong": len(wrong),
            "mean_claim_right": mean(right), "mean_claim_wrong": mean(wrong)}


def plain_answers(options, made, folder):
    """The plain pipeline's answers: its framed digits go through the same network in one call."""
    files, owners = [], []
    for number, page in enumerate(made):
        for image in plain_pipeline.digits(page.grey()):
            files.append(os.path.join(folder, f"plain{len(files):05d}.png"))
            pages.write_png(files[-1], image)
            owners.append(number)
    answers = [[] for _ in made]
    for owner, answer in zip(owners, predict(options, files) if files else []):
        answers[owner].append((answer["label"], answer["confidence"]))
    return answers


def measure(kind, options, mnist):
    made = [pages.page(kind, number, mnist) for number in range(options.first, options.first + options.count)]
    with tempfile.TemporaryDirectory() as folder:
        files = [page.write(os.path.join(options.pages or folder, f"{kind}{number:03d}")) for number, page in enumerate(made)]
        wanted = [page.labels for page in made]
        mine = [digits_of(answer) for answer in predict(options, files)]
        plain = plain_answers(options, made, folder)
    if options.pages:
        for file, labels, digits in zip(files, wanted, mine):
            if [label for label, _ in digits] != labels:
                print(file, labels, digits)
    return {"kind": kind, "what": pages.KINDS[kind].__doc__, "trainer": judged(mine, wanted), "plain": judged(plain, wanted)}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default="build/cpu/trainer/trainer")
    parser.add_argument("--model", default="last", help="a run, or a model.safetensors")
    parser.add_argument("--data", default=os.path.join(os.path.dirname(record.FOLDER), "..", "data", "mnist"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--count", type=int, default=200, help="pages of each kind")
    parser.add_argument("--first", type=int, default=1000, help="the number of the first page, its seed; those below 1000 served to write the program")
    parser.add_argument("--kinds", default=",".join(pages.KINDS))
    parser.add_argument("--pages", help="keep the pages in this folder, and print the names of those read wrongly")
    parser.add_argument("--no-record", action="store_true")
    return parser.parse_args()


def main():
    options = arguments()
    mnist = pages.read_mnist(options.data)
    cases = []
    for kind in options.kinds.split(","):
        cases.append(measure(kind, options, mnist))
        mine, plain = cases[-1]["trainer"], cases[-1]["plain"]
        print(f"{kind:12} trainer {mine['accuracy_percent']:5.1f} % ({mine['refused']} refused, claims {mine['mean_claim_right'] or 0:.2f} right, "
              f"{mine['mean_claim_wrong'] or 0:.2f} wrong), plain {plain['accuracy_percent']:5.1f} % ({plain['refused']} refused)", flush=True)
    if options.no_record:
        return
    value = {"kind": "photographs", **record.describe(options.trainer), "count": options.count, "first": options.first, "network": network_of(options), "cases": cases}
    value["versions"].update(numpy=numpy.__version__, pillow=PIL.__version__)
    record.write("photographs", value)


def network_of(options):
    """The network's accuracy on the whole test set."""
    done = subprocess.run([options.trainer, "eval", options.model, "--data", options.data, "--threads", str(options.threads), "--json"],
                          stdout=subprocess.PIPE, text=True, check=True)
    return {"accuracy_percent": 100 * json.loads(done.stdout)["accuracy"]}


if __name__ == "__main__":
    main()
