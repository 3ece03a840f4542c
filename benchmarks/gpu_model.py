#!/usr/bin/env python3
"""A static model of the GPU engine's kernels on an H200, derived from a network's plan and from the sources of
kernels/cuda: bytes, operations, dependent loads, grid barriers, microseconds. Everything is predicted, not measured.

    benchmarks/gpu_model.py [NAME...]      a table per network; by default sprint, sprint-lean and quick
      --trainer PROGRAM    describes the networks (`trainer models NAME --json`); by default the newest under build/
      --plan FILE...       that program's output, in place of NAME and --trainer
      --sources DIR        the tree with the kernels; by default this one
      --precision P        fp32 (default), tf32, bf16 or fp16
      --first-contact FILE output of scripts/gpu/first_contact.cu --json; its measurements replace the model's constants
      --items              the parts of each kernel's time
      --json               one object, or a list of several
      --write, --check     write table and sums into benchmarks/NOTES.md; fail if they would change

The constants and their sources are in gpu_model/device.py and beside the code that uses them."""
import argparse
import glob
import json
import os
import sys

from gpu_model import network, report
from gpu_model.device import Device, probed
from gpu_model.model import ELEMENT_BYTES, Model
from gpu_model.sources import Sources

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NETWORKS = ("sprint", "sprint-lean", "quick")


def newest_trainer():
    built = [path for path in glob.glob(os.path.join(ROOT, "build/*/trainer/trainer")) if os.access(path, os.X_OK)]
    if not built:
        raise ValueError("no trainer under build/: build one, or name it (--trainer PROGRAM), or a plan (--plan FILE)")
    return max(built, key=os.path.getmtime)


def networks_of(options):
    if options.plan:
        return [network.read(path) for path in options.plan]
    trainer = options.trainer or newest_trainer()
    return [network.described(trainer, name) for name in options.names or NETWORKS]


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--help", "-h", action="help")
    parser.add_argument("--trainer")
    parser.add_argument("--plan", nargs="+")
    parser.add_argument("--sources", default=ROOT)
    parser.add_argument("--precision", choices=sorted(ELEMENT_BYTES), default="fp32")
    parser.add_argument("--first-contact")
    for flag in ("--items", "--json", "--write", "--check"):
        parser.add_argument(flag, action="store_true")
    return parser.parse_args()


def main():
    options = arguments()
    device = probed(Device(), options.first_contact) if options.first_contact else Device()
    sources = Sources(options.sources)
    networks = networks_of(options)
    results = [Model(one, device, sources, options.precision).result() for one in networks]
    if options.write or options.check:
        precisions = {(one.name, p): Model(one, device, sources, p).result() for one in networks for p in ("fp32", "tf32", "bf16")}
        text = f"{report.table(results)}\n\n{report.summary(precisions)}"
        report.put_into(os.path.join(ROOT, "benchmarks/NOTES.md"), text, options.check)
    elif options.json:
        print(json.dumps(results[0] if len(results) == 1 else results, indent=1))
    elif options.items:
        print("\n".join(report.items(result) for result in results))
    else:
        print(report.table(results))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
