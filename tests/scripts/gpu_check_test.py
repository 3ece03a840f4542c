#!/usr/bin/env python3
"""scripts/gpu_check.sh over played programs, so that no GPU is needed: a bundle of shell scripts stands for trainer and
tests, others for ldd and compute-sanitizer. Each test changes one thing of the play and looks at exit code, table, record.

    scripts/gpu_check.sh --self-test
"""
import glob
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from played_programs import BENCHMARK, BLOCK, DEVICE, LDD, SANITIZER, SPRINT_PEER, TEST, TRAINER

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

def write(path, text, mode=0o755):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    os.chmod(path, mode)


class GpuCheck(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.bundle = os.path.join(self.folder, "a bundle")
        write(self.at("bin/trainer"), TRAINER)
        for name in ("conformance_test", "step_test", "backend_test", "gpu_training_test"):
            write(self.at("bin", name), TEST)
        write(self.at("bin/planted_fault"), "#!/bin/sh\n")
        write(self.at("benchmarks/gpu_vs_torch.py"), BENCHMARK)
        write(self.at("benchmarks/torch_sprint_peer.py"), SPRINT_PEER)
        write(self.at("device.json"), json.dumps(DEVICE))
        write(self.at("block"), BLOCK)
        self.tools = os.path.join(self.folder, "tools")
        write(os.path.join(self.tools, "compute-sanitizer"), SANITIZER)
        write(os.path.join(self.tools, "ldd"), LDD)
        self.play()

    def at(self, *parts):
        return os.path.join(self.bundle, *parts)

    def play(self, **changes):
        values = dict({"NODES": 12, "ACCURACY": 0.995, "SPRINT": 99.05}, **changes)
        write(self.at("play"), "".join(f"{name}='{value}'\n" for name, value in values.items()))

    def check(self, *arguments, **environment):
        environment = dict(os.environ, PATH=f"{self.tools}:{os.environ['PATH']}", PLAYED=self.bundle, **environment)
        for name in ("CUDA_HOME", "CUDA_PATH", "LD_LIBRARY_PATH"):
            environment.pop(name, None)
        done = subprocess.run([os.path.join(ROOT, "scripts/gpu_check.sh"), "--bundle", self.bundle, *arguments], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=self.folder, check=False)
        self.output = done.stdout
        return done.returncode

    def record(self):
        paths = glob.glob(self.at("benchmarks/records/*.json"))
        self.assertEqual(len(paths), 1, self.output)
        with open(paths[0], encoding="utf-8") as file:
            return os.path.basename(paths[0]), json.load(file)

    def expect(self, stage, code, status, text, **environment):
        """One stage ends so, and says why."""
        self.assertEqual(self.check("--stages", stage, "--again", **environment), code, self.output)
        result = self.record()[1]["stages"][stage]
        self.assertEqual(result["status"], status, self.output)
        self.assertIn(text, result["text"])

    def test_all_stages_pass_print_and_leave_one_record(self):
        self.assertEqual(self.check(), 0, self.output)
        name, record = self.record()
        self.assertRegex(name, r"^\d{4}-\d\d-\d\d-nvidia-played-0123456789ab\.json$")
        self.assertEqual({stage["status"] for stage in record["stages"].values()}, {"passed"})
        order = ["report", "conformance", "replay", "nodes", "sanitizer", "accuracy", "sprint", "benchmark"]
        self.assertEqual(list(record["stages"]), order)
        self.assertEqual(len(record["stages"]["accuracy"]["details"]["rows"][0]["runs"]), 30)
        self.assertEqual(record["stages"]["benchmark"]["details"]["record"], {"summary": "8 of 9 goals"})
        for line in ("Found device 0", "a line of the benchmark", "nothing failed", "finds its planted fault"):
            self.assertIn(line, self.output)

    def test_a_stage_that_passed_is_not_run_again_on_the_same_build(self):
        def trainings():
            with open(self.at("calls"), encoding="utf-8") as file:
                return sum(line.startswith("train ") for line in file)
        self.assertEqual(self.check("--stages", "nodes"), 0)
        first = trainings()
        self.assertEqual(self.check("--stages", "nodes"), 0)
        self.assertEqual(trainings(), first)
        self.assertIn("passed before on this build", self.output)
        self.assertEqual(self.check("--stages", "nodes", "--again"), 0)
        self.assertEqual(trainings(), 2 * first)
        write(self.at("bin/trainer"), TRAINER + "# another build\n")
        self.assertEqual(self.check("--stages", "nodes"), 0)
        self.assertEqual(trainings(), 3 * first)

    def test_a_stage_that_failed_is_run_again(self):
        self.play(NODES=15)
        self.assertEqual(self.check("--stages", "nodes"), 1)
        self.assertIn("quick: 15 nodes, 14 are the most", self.output)
        self.play()
        self.assertEqual(self.check("--stages", "nodes"), 0)
        self.assertIn("quick 12", self.output)

    def test_a_sprint_is_measured_beside_its_peer_and_must_reach_99_percent(self):
        self.assertEqual(self.check("--stages", "sprint"), 0, self.output)
        self.assertIn("sprint-lean: 99.050 %, training + test 2.000 ms", self.output)
        self.assertIn("PyTorch's graph 10.000 ms, 5.0 times as long", self.output)
        self.assertIn("sprint in bf16: 99.050 %, training + test 2.000 ms", self.output)
        self.play(SPRINT=98.99)
        self.expect("sprint", 1, "failed", "sprint: 98.990 % < 99.0 %")
        self.play()
        write(self.at("benchmarks/torch_sprint_peer.py"), "raise SystemExit('played failure')")
        self.expect("sprint", 0, "passed", "process 0.500 s")
        self.assertIn("no PyTorch: exit 1: played failure", self.output)

    def test_without_a_gpu_it_fails_with_the_reason(self):
        write(self.at("device.json"), json.dumps({"gpu": {"used": False, "reason": "no driver: install one"}}))
        self.assertEqual(self.check(), 1)
        self.assertIn("no driver: install one", self.output)

    def test_a_program_that_dies_at_once_is_told(self):
        write(self.at("bin/trainer"), "#!/bin/sh\necho cannot start; exit 127\n")
        self.assertEqual(self.check(), 1)
        self.assertIn("127: cannot start", self.output)

    def test_the_report_has_the_known_block(self):
        write(self.at("block"), BLOCK.replace("Free memory", "Memory"))
        self.expect("report", 1, "failed", "Free memory")

    def test_conformance_counts_what_ran_on_the_gpu(self):
        self.expect("conformance", 0, "passed", "conformance_test 1")
        self.play(FAILS="step_test")
        self.expect("conformance", 1, "failed", "step_test: 1 failed")
        self.play(CPU_ONLY="conformance_test")
        self.expect("conformance", 1, "failed", "conformance_test ran nothing on a GPU")
        os.remove(self.at("bin/step_test"))
        self.expect("conformance", 1, "failed", "step_test is not built")
        self.play(DIES="backend_test")
        self.expect("conformance", 1, "failed", "backend_test died with 139")

    def test_one_failure_does_not_stop_the_stages_behind_it(self):
        self.play(FAILS="step_test")
        self.assertEqual(self.check("--stages", "conformance,nodes"), 1)
        self.assertEqual(self.record()[1]["stages"]["nodes"]["status"], "passed")
        self.assertIn("FAILED: conformance", self.output)

    def test_replay_wants_the_same_bits(self):
        self.expect("replay", 0, "passed", "to the bit")
        self.play(WEIGHTS="date +%N")
        self.expect("replay", 1, "failed", "the weights of seeds 1, 1 and 2")

    def test_nodes_must_be_told(self):
        self.play(NODES="null")
        self.expect("nodes", 1, "failed", "tells no graph_nodes")

    def test_accuracy_is_held_to_its_minimum(self):
        self.play(ACCURACY=0.9935)
        self.expect("accuracy", 1, "failed", "cntk-convnet: 99.350 % < 99.4 %")

    def test_a_training_that_fails_is_no_accuracy(self):
        self.play(TRAIN_EXIT=1)
        self.expect("accuracy", 1, "failed", "quick, seed 1: exit 1")

    def test_precisions_are_measured_when_asked_for(self):
        self.expect("precisions", 0, "passed", "quick: tf32, fp16, bf16")
        rows = self.record()[1]["stages"]["precisions"]["details"]["rows"]
        self.assertEqual([row["precision"] for row in rows[:4]], ["fp32", "tf32", "fp16", "bf16"])
        self.assertEqual({len(row["runs"]) for row in rows}, {10})

    def test_a_precision_that_loses_accuracy_is_not_kept(self):
        self.play(LOSES="bf16")
        self.expect("precisions", 0, "passed", "quick: tf32, fp16;")
        self.assertIn("bf16: mean 99.400 %, 1.000 s, MORE THAN 0.05 POINTS BELOW fp32", self.output)

    def test_a_precision_that_fails_is_told(self):
        self.play(TRAIN_EXIT=1)
        self.expect("precisions", 1, "failed", "fp32: quick, seed 1: exit 1")

    def test_sanitizers_that_cannot_be_believed_are_skipped_aloud(self):
        self.play(REFUSES="yes")
        self.expect("sanitizer", 0, "skipped", "Device not supported")
        self.play(BLIND="racecheck")
        self.expect("sanitizer", 0, "passed", "skipped: racecheck")
        self.assertIn("racecheck: SKIPPED: it does not find its planted fault", self.output)

    def test_an_absent_sanitizer_is_skipped_aloud(self):
        os.remove(os.path.join(self.tools, "compute-sanitizer"))
        if shutil.which("compute-sanitizer") or os.path.exists("/usr/local/cuda/bin/compute-sanitizer"):
            self.skipTest("this machine has one")
        self.expect("sanitizer", 0, "skipped", "no compute-sanitizer")

    def test_what_a_sanitizer_finds_in_our_kernels_fails(self):
        self.play(FINDS="memcheck", WHERE="trainer::cuda::gather")
        self.expect("sanitizer", 1, "failed", "memcheck, a short training: 1 reports in our kernels of 1")
        self.play(FINDS="initcheck", WHERE="cudnn::padding")
        self.expect("sanitizer", 0, "passed", "clean: memcheck, racecheck, initcheck, synccheck")
        self.assertIn("1 reports inside NVIDIA's libraries", self.output)

    def test_a_benchmark_that_fails_is_told(self):
        self.expect("benchmark", 1, "failed", "played failure", PEER_FAILS="1")

    def test_time_is_limited_and_nothing_is_left_running(self):
        self.play(HANGS="6543")
        self.assertEqual(self.check("--stages", "nodes", "--patience", "0.05"), 1)
        self.assertIn("no end within", self.output)
        running = subprocess.run(["ps", "-eo", "args"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertNotIn("sleep 6543", running)

    def test_libraries_are_looked_for_where_they_are_named(self):
        self.play(MISSING="libcudart.so.77")
        self.assertEqual(self.check("--stages", "report"), 1)
        self.assertIn("trainer does not start here without: libcudart.so.77", self.output)
        place = os.path.join(self.folder, "elsewhere")
        write(os.path.join(place, "libcudart.so.77"), "")
        self.assertEqual(self.check("--stages", "report", "--cuda-libs", place, self.folder), 0, self.output)
        self.assertEqual(self.record()[1]["libraries"].split(":")[1], place)

    def test_wrong_usage_is_2(self):
        for arguments in (["--stages", "repart"], ["--stages"], ["--build", self.bundle], ["--cuda-libs"],
                          ["--cuda-libs", "/none"], ["--patience", "0"], ["--bogus"]):
            self.assertEqual(self.check(*arguments), 2, arguments)


if __name__ == "__main__":
    unittest.main()
