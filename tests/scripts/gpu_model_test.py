#!/usr/bin/env python3
"""benchmarks/gpu_model.py: what it reads in the sources, what follows from it, and that its blocks are those that the engine
launches. TRAINER names the program; where TRAINER_EMULATED is 1 it has the emulated GPU engine, and plays an H200 here."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from types import SimpleNamespace

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(ROOT, "benchmarks/gpu_model.py")
TRAINER = os.environ["TRAINER"]
sys.path.insert(0, os.path.join(ROOT, "benchmarks"))

from gpu_model import network  # noqa: E402
from gpu_model.device import Device, probed  # noqa: E402
from gpu_model.kernel import Kernel  # noqa: E402
from gpu_model.model import Model  # noqa: E402
from gpu_model.products import makespan  # noqa: E402
from gpu_model.sources import DIVISION, LONG_DIVISION, MARK, Sources  # noqa: E402

NETWORKS = ("sprint", "sprint-lean", "quick")
LOOPS = """
constexpr unsigned kThreads = 256;
constexpr unsigned kRows = kThreads / 32;  // a comment; with a brace {
__device__ void two(int n);
template <typename T>
__device__ void two(const T* x, unsigned n, unsigned stride) {
  for (unsigned i = 0; i < n; i += stride) {  // loads in a row: 4
    sum += x[i / stride];
  }
  for (unsigned i = 0; i < n; ++i) other += y[i / kRows];
  const auto load = [&](unsigned i) { return z[i % n]; };
  for_strided<8>(first(0), n,  // loads in a row: 16
                 stride, load);
  for_strided<8>(first(0), n, load);  // shared loads in a row: 32
}
"""


def in_folder(test):
    folder = tempfile.mkdtemp()
    test.addCleanup(shutil.rmtree, folder)
    return folder


class ReadSources(unittest.TestCase):
    def setUp(self):
        folder = in_folder(self)
        os.makedirs(os.path.join(folder, "kernels/cuda"))
        with open(os.path.join(folder, "kernels/cuda/loops.cuh"), "w", encoding="utf-8") as file:
            file.write(LOOPS)
        self.sources = Sources(folder)

    def test_a_constant_is_worked_out(self):
        self.assertEqual(self.sources.constant("loops.cuh", "kRows"), 8)
        self.assertEqual(self.sources.constant("another.cu", "kThreads"), 256)
        self.assertEqual(self.sources.constant("loops.cuh", "kAbsent", 3), 3)
        with self.assertRaisesRegex(ValueError, "loops.cuh: no constant kAbsent"):
            self.sources.constant("loops.cuh", "kAbsent")

    def test_a_mark_is_of_its_loop_or_call_alone(self):
        self.assertEqual(self.sources.in_a_row("loops.cuh", "two", "x[i"), 4)
        self.assertEqual(self.sources.in_a_row("loops.cuh", "two", "y[i"), 1)
        self.assertEqual(self.sources.in_a_row("loops.cuh", "two", "z[i"), 16)
        with self.assertRaisesRegex(ValueError, r"loops.cuh: no 'w\[' in two"):
            self.sources.in_a_row("loops.cuh", "two", "w[")

    def test_divisions_by_constants_are_free(self):
        self.assertEqual(self.sources.divided("loops.cuh", "two"), 2 * DIVISION)
        self.assertEqual(self.sources.divided("loops.cuh", "two", "other +=", long=True), LONG_DIVISION)
        self.assertEqual(self.sources.divided("loops.cuh", "absent"), 0)


class Predict(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.networks = {name: network.described(TRAINER, name) for name in NETWORKS}

    def result(self, name, sources=ROOT, device=Device(), precision="fp32"):
        return Model(self.networks[name], device, Sources(sources), precision).result()

    def test_a_mark_less_takes_longer(self):
        """Each mark of the tree that the model reads."""
        before = self.result("sprint")["step_us"], self.result("quick")["step_us"]
        marked = 0
        for path in glob.glob(os.path.join(ROOT, "kernels/cuda/**/*.cu*"), recursive=True):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            if not MARK.search(text):
                continue
            folder = in_folder(self)
            shutil.copytree(os.path.join(ROOT, "kernels"), os.path.join(folder, "kernels"))
            with open(os.path.join(folder, os.path.relpath(path, ROOT)), "w", encoding="utf-8") as file:
                file.write(MARK.sub("", text))
            after = self.result("sprint", folder)["step_us"], self.result("quick", folder)["step_us"]
            marked += after[0] > before[0] or after[1] > before[1]
        self.assertGreaterEqual(marked, 5)

    def test_the_step_is_the_sum_of_its_kernels(self):
        for name in NETWORKS:
            result = self.result(name)
            self.assertAlmostEqual(result["step_us"], sum(k["us"] for k in result["kernels"]), delta=0.2)
            self.assertEqual(result["kernels"][0]["layer"], "conv1")
            for kernel in result["kernels"]:
                self.assertAlmostEqual(kernel["us"], sum(kernel["items"].values()), delta=0.1, msg=kernel["kernel"])

    def test_less_precision_is_less_work(self):
        us = [self.result("sprint", precision=precision)["step_us"] for precision in ("fp32", "tf32", "bf16")]
        self.assertGreater(us[0], us[1])
        self.assertGreaterEqual(us[1], us[2])

    def test_a_probe_takes_the_place_of_constants(self):
        path = os.path.join(in_folder(self), "probe.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"figures": [{"name": "node of a graph, plain", "unit": "us", "value": 3.3},
                                   {"name": "grid.sync(), 132 blocks of 512", "unit": "us", "error": "refused"}]}, file)
        device = probed(Device(), path)
        self.assertEqual((device.node_us, device.grid_sync_us), (3.3, Device().grid_sync_us))
        slower = self.result("sprint", device=device)["step_us"] - self.result("sprint")["step_us"]
        self.assertAlmostEqual(slower, 2.0 * len(self.result("sprint")["kernels"]), delta=0.5)

    def test_blocks_share_multiprocessors(self):
        self.assertEqual(makespan([(10, 15)], 2, 2), 10)
        self.assertEqual(makespan([(10, 15)] * 4, 2, 2), 15)
        self.assertEqual(makespan([(10, 15)] * 3, 1, 2), 25)


class Loop(unittest.TestCase):
    def cycles(self, threads, **loop):
        kernel = Kernel(SimpleNamespace(device=Device(), sources=None), "kernel", "layer", 1, threads)
        before = kernel.cycles
        kernel.loop("loop", **loop)
        return kernel.cycles - before, kernel.row()["dependent_loads"]

    def test_loads_in_a_row_wait_once(self):
        l2 = Device().l2
        self.assertEqual(self.cycles(128, trips=16, slots=10), (16 * (l2 + 30), 16))
        self.assertEqual(self.cycles(128, trips=16, slots=10, row=8), (2 * (l2 + 30 + 70), 2))
        self.assertEqual(self.cycles(128, trips=16, slots=10, loads=2), (16 * (2 * l2 + 30), 32))
        self.assertEqual(self.cycles(128, trips=16, slots=10, loads=2, row=8), (4 * (l2 + 30 + 30), 4))

    def test_many_warps_are_bound_by_issuing(self):
        self.assertEqual(self.cycles(1024, trips=16, slots=100, row=8)[0], 16 * 100 * 8 + Device().l2)
        self.assertEqual(self.cycles(1024, trips=16, slots=100, loads=0), (16 * 100 * 8, 0))

    def test_what_needs_no_load_hides_behind_it(self):
        self.assertEqual(self.cycles(128, trips=4, slots=10, beside=200), self.cycles(128, trips=4, slots=10))


class Program(unittest.TestCase):
    def run_program(self, *options):
        return subprocess.run([sys.executable, PROGRAM, "--trainer", TRAINER, *options], text=True, capture_output=True, check=False)

    def test_the_notes_have_what_it_says(self):
        ran = self.run_program("--check")
        self.assertEqual((ran.returncode, ran.stdout, ran.stderr), (0, "", ""))

    def test_json(self):
        one = json.loads(self.run_program("sprint", "--json").stdout)
        self.assertEqual((one["network"], one["precision"], one["device"], one["steps"]), ("sprint", "fp32", "H200", 19))
        self.assertEqual([r["network"] for r in json.loads(self.run_program("--json").stdout)], list(NETWORKS))

    def test_errors_name_the_thing(self):
        ran = self.run_program("absent")
        self.assertEqual(ran.returncode, 1)
        self.assertIn("absent", ran.stderr)
        ran = self.run_program("--sources", in_folder(self))
        self.assertEqual(ran.returncode, 1)
        self.assertIn("no constant", ran.stderr)


@unittest.skipUnless(os.environ.get("TRAINER_EMULATED") == "1", "the GPU engine is not emulated here")
class Geometry(unittest.TestCase):
    def launched(self, name):
        """{(kernel, blocks, threads)} of a recorded step and test; nothing is computed, the first launch of a graph fails."""
        folder = in_folder(self)
        report = os.path.join(folder, "report.txt")
        command = ["sprint", "--seeds", "1", "--no-process"] if name != "quick" else ["train", "--no-save"]
        environment = dict(os.environ, TRAINER_EMULATOR_DEVICE="h200", TRAINER_EMULATOR_FAIL="cudaGraphLaunch:1:719",
                           TRAINER_EMULATOR_REPORT=report, OMP_WAIT_POLICY="passive")
        subprocess.run([TRAINER, *command, "--model", name, "--device", "cuda"], env=environment, cwd=folder, capture_output=True,
                       check=False, timeout=120)
        with open(report, encoding="utf-8") as file:
            found = re.findall(r"^launch (\w+) (\d+)x(\d+) \d+$", file.read(), re.MULTILINE)
        return {(kernel, int(blocks), int(threads)) for kernel, blocks, threads in found}

    def test_blocks_are_those_that_the_engine_launches(self):
        for name in NETWORKS:
            with self.subTest(name):
                result = Model(network.described(TRAINER, name), Device(), Sources(ROOT)).result()
                predicted = {(k["kernel"], k["blocks"], k["threads"]) for k in result["kernels"] + result["test_kernels"]}
                self.assertEqual(self.launched(name), predicted)


if __name__ == "__main__":
    unittest.main(verbosity=1)
