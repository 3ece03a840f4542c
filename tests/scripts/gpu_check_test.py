#!/usr/bin/env python3
"""The stages of scripts/gpu_check.sh over played programs.

    scripts/gpu_check.sh --self-test [-k PATTERN]
"""
import json
import os
import shutil
import sys
import unittest

from played_check import ROOT, PlayedCheck, write
from played_programs import BLOCK, DEVICE, TRAINER

sys.path.insert(0, os.path.join(ROOT, "scripts/gpu"))
import kernels  # pylint: disable=wrong-import-position


class Stages(PlayedCheck):
    def test_all_stages_pass_print_and_leave_one_record(self):
        self.check(0)
        name, record = self.record()
        self.assertRegex(name, r"^\d{4}-\d\d-\d\d-nvidia-played-0123456789ab\.json$")
        self.assertEqual({stage["status"] for stage in record["stages"].values()}, {"passed"})
        order = ["prove", "report", "first_contact", "conformance", "nodes", "replay", "sprint", "bits", "kernels", "sanitizer", "accuracy",
                 "ranks", "benchmark"]
        self.assertEqual(list(record["stages"]), order)
        self.assertEqual(len(record["stages"]["accuracy"]["details"]["rows"][0]["runs"]), 10)
        self.assertEqual(record["stages"]["benchmark"]["details"]["rounds"][0]["record"], {"summary": "8 of 9 goals"})
        for line in ("Found device 0", "a line of the benchmark", "nothing failed", "finds its planted fault"):
            self.assertIn(line, self.played.output)

    def test_a_stage_that_passed_is_not_run_again_on_the_same_build(self):
        self.check(0, "--stages", "nodes")
        first = self.played.trainings()
        self.check(0, "--stages", "nodes")
        self.assertEqual(self.played.trainings(), first)
        self.assertIn("passed before on this build", self.played.output)
        self.check(0, "--stages", "nodes", "--again")
        self.assertEqual(self.played.trainings(), 2 * first)
        write(self.played.at("bin/trainer"), TRAINER + "# another build\n")
        self.check(0, "--stages", "nodes")
        self.assertEqual(self.played.trainings(), 3 * first)

    def test_a_stage_that_failed_is_run_again(self):
        self.played.play(NODES=13)
        self.check(1, "--stages", "nodes")
        self.assertIn("sprint: 13 nodes, 12 are the most", self.played.output)
        self.assertIn("lenet: 13 nodes a step, recorded", self.played.output)
        self.played.play()
        self.check(0, "--stages", "nodes")
        self.assertIn("quick 9", self.played.output)

    def test_a_gpu_with_another_digest_is_told_and_the_check_goes_on(self):
        self.played.play(WRONG="cuda:0: 3 of 3 trainings ended with another digest")
        self.check(1, "--stages", "prove,report")
        self.assertIn("==== prove: failed", self.played.output)
        self.assertIn("cuda:0: 3 of 3 trainings ended with another digest", self.played.output)
        self.assertIn("==== report: passed", self.played.output)

    def test_a_step_of_quick_is_held_to_its_kernels(self):
        self.played.play(QUICK_NODES=10)
        self.expect("nodes", 1, "failed", "quick: 10 nodes, 9 are the most")

    def test_a_sprint_is_measured_beside_its_peer_and_must_reach_99_percent(self):
        self.check(0, "--stages", "sprint")
        self.assertIn("sprint-lean: 99.050 %, training + test 2.000 ms", self.played.output)
        self.assertIn("PyTorch's graph 10.000 ms, 5.0 times as long", self.played.output)
        self.assertIn("sprint in bf16: 99.050 %, training + test 2.000 ms", self.played.output)
        self.played.play(SPRINT=98.99)
        self.expect("sprint", 1, "failed", "sprint: 98.990 % < 99.0 %")
        self.played.play()
        write(self.played.at("benchmarks/torch_sprint_peer.py"), "raise SystemExit('played failure')")
        self.expect("sprint", 0, "passed", "process 0.500 s")
        self.assertIn("no PyTorch: exit 1: played failure", self.played.output)

    def test_without_a_gpu_it_fails_with_the_reason(self):
        write(self.played.at("device.json"), json.dumps({"gpu": {"used": False, "reason": "no driver: install one"}}))
        self.check(1)
        self.assertIn("no driver: install one", self.played.output)

    def test_a_program_that_dies_at_once_is_told(self):
        write(self.played.at("bin/trainer"), "#!/bin/sh\necho cannot start; exit 127\n")
        self.check(1)
        self.assertIn("127: cannot start", self.played.output)

    def test_the_report_has_the_known_block(self):
        write(self.played.at("block"), BLOCK.replace("Free memory", "Memory"))
        self.expect("report", 1, "failed", "Free memory")

    def test_conformance_counts_what_ran_on_the_gpu(self):
        self.expect("conformance", 0, "passed", "conformance_test 1")
        self.played.play(FAILS="step_test")
        self.expect("conformance", 1, "failed", "step_test: 1 failed")
        self.played.play(CPU_ONLY="conformance_test")
        self.expect("conformance", 1, "failed", "conformance_test ran nothing on a GPU")
        os.remove(self.played.at("bin/step_test"))
        self.expect("conformance", 1, "failed", "step_test is not built")
        self.played.play(DIES="backend_test")
        self.expect("conformance", 1, "failed", "backend_test died with 139")

    def test_one_failure_does_not_stop_the_stages_behind_it(self):
        self.played.play(FAILS="step_test")
        self.check(1, "--stages", "conformance,nodes")
        self.assertEqual(self.record()[1]["stages"]["nodes"]["status"], "passed")
        self.assertIn("FAILED: conformance", self.played.output)

    def test_replay_wants_the_same_bits(self):
        self.expect("replay", 0, "passed", "to the bit")
        self.played.play(WEIGHTS="date +%N")
        self.expect("replay", 1, "failed", "the weights of seeds 1, 1 and 2")

    def test_nodes_must_be_told(self):
        self.played.play(NODES="null")
        self.expect("nodes", 1, "failed", "tells no graph_nodes")

    def test_accuracy_is_held_to_its_minimum(self):
        self.played.play(ACCURACY=0.9935)
        self.expect("accuracy", 1, "failed", "cntk-convnet: 99.350 % < 99.4 %")

    def test_a_training_that_fails_is_no_accuracy(self):
        self.played.play(TRAIN_EXIT=1)
        self.expect("accuracy", 1, "failed", "quick, seed 1: exit 1")

    def test_ranks_are_those_that_the_gpus_allow(self):
        self.expect("ranks", 0, "passed", "1 cases through NCCL")
        self.assertNotIn("--ranks", self.played.output)
        self.played.play(SKIPS="several ranks on GPUs need NCCL: install libnccl2")
        self.expect("ranks", 0, "skipped", "SKIPPED: several ranks on GPUs need NCCL: install libnccl2")
        self.played.play(FAILS="gpu_training_test")
        self.expect("ranks", 1, "failed", "All/Ops.Conv/cuda")

    def test_ranks_of_several_gpus_have_the_digest_of_one_process(self):
        write(self.played.at("device.json"), json.dumps(dict(DEVICE, gpus=[{}] * 5)))
        self.expect("ranks", 0, "passed", "--ranks 2 has the digest of one process, --ranks 4 has the digest of one process")
        self.played.play(LOSES_BITS="4")
        self.expect("ranks", 1, "failed", "--ranks 4: ANOTHER DIGEST than one process")
        self.played.play(NO_MPIRUN="yes")
        self.expect("ranks", 0, "passed", "1 cases through NCCL; SKIPPED: exit 2: error: --ranks 2 needs an mpirun")

    def test_precisions_are_measured_when_asked_for(self):
        self.expect("precisions", 0, "passed", "quick: tf32, fp16, bf16")
        rows = self.record()[1]["stages"]["precisions"]["details"]["rows"]
        self.assertEqual([row["precision"] for row in rows[:4]], ["fp32", "tf32", "fp16", "bf16"])
        self.assertEqual({len(row["runs"]) for row in rows}, {10})

    def test_a_precision_that_loses_accuracy_is_not_kept(self):
        self.played.play(LOSES="bf16")
        self.expect("precisions", 0, "passed", "quick: tf32, fp16;")
        self.assertIn("bf16: mean 99.400 %, 1.000 s, MORE THAN 0.05 POINTS BELOW fp32", self.played.output)

    def test_a_precision_that_fails_is_told(self):
        self.played.play(TRAIN_EXIT=1)
        self.expect("precisions", 1, "failed", "fp32: quick, seed 1: exit 1")

    def test_sanitizers_that_cannot_be_believed_are_skipped_aloud(self):
        self.played.play(REFUSES="yes")
        self.expect("sanitizer", 0, "skipped", "Device not supported")
        self.played.play(BLIND="racecheck")
        self.expect("sanitizer", 0, "passed", "SKIPPED: racecheck: it does not find its planted fault")
        self.assertIn("racecheck: SKIPPED: it does not find its planted fault", self.played.output)

    def test_a_sanitizer_runs_each_cooperative_kernel_in_each_precision(self):
        self.expect("sanitizer", 0, "passed", "memcheck (8 trainings)")
        with open(self.played.at("tool_calls"), encoding="utf-8") as file:
            calls = file.read()
        for model in ("sprint", "sprint-lean"):
            for precision in ("fp32", "tf32", "bf16", "fp16"):
                self.assertIn(f"--model {model} --batch 256 --limit-train 512 --epochs 1 --precision {precision} --no-save", calls)

    def test_a_sanitizer_that_takes_too_long_is_skipped_aloud(self):
        self.played.play(SLOW="synccheck")
        self.check(0, "--stages", "sanitizer", "--patience", "0.03")
        result = self.record()[1]["stages"]["sanitizer"]
        self.assertEqual(result["status"], "passed")
        self.assertIn("clean: memcheck (1 trainings); SKIPPED: ", result["text"])
        self.assertIn("SKIPPED: synccheck: no time for sprint in fp32", result["text"])
        self.assertIn("synccheck, sprint in fp32: SKIPPED: no end within", self.played.output)

    def test_an_absent_sanitizer_is_skipped_aloud(self):
        os.remove(os.path.join(self.played.tools, "compute-sanitizer"))
        if shutil.which("compute-sanitizer") or os.path.exists("/usr/local/cuda/bin/compute-sanitizer"):
            self.skipTest("this machine has one")
        self.expect("sanitizer", 0, "skipped", "no compute-sanitizer")

    def test_what_a_sanitizer_finds_fails(self):
        self.played.play(FINDS="memcheck", WHERE="trainer::cuda::gather")
        self.expect("sanitizer", 1, "failed", "memcheck, sprint in fp32: 1 reports in our kernels of 1")

    def test_a_first_contact_is_measured_and_a_refused_figure_is_told(self):
        self.expect("first_contact", 0, "passed", "node of a graph, plain 1.25 us")
        self.assertRegex(self.played.output, r"node of a graph, programmatic +a launch inside the capture: cudaErrorNotSupported")
        self.played.play(CAPTURE='"error": "cudaGraphInstantiate: cudaErrorUnknown"')
        self.expect("first_contact", 1, "failed", "cudaGraphInstantiate: cudaErrorUnknown")

    def test_a_program_that_is_neither_packed_nor_compiled_is_skipped_aloud(self):
        os.remove(self.played.at("bin/first_contact"))
        write(os.path.join(self.played.tools, "nvcc"), "#!/bin/sh\necho played: no such architecture; exit 1\n")
        self.expect("first_contact", 0, "skipped", "nvcc did not compile first_contact: played: no such architecture")

    def test_bits_are_compared_between_processes_and_with_waits(self):
        self.expect("bits", 0, "passed", "the same bits: sprint, 2 seeds, sprint-lean, 2 seeds, 2 kernels with and without waits")
        self.played.play(LOSS="date +%N")
        self.expect("bits", 1, "failed", "sprint: OTHER BITS in a second process: 1 of 3, 2 the first")
        self.played.play(WEIGHTS="date +%N")
        self.expect("bits", 1, "failed", "1 of 3, weights the first")
        self.played.play(JITTER="3333")
        self.expect("bits", 1, "failed", "OTHER BITS with waits before the barriers: sprint.dense1/cuda")

    def test_bits_that_there_was_no_time_for_are_skipped_aloud(self):
        self.played.play(HANGS_BITS="6543")
        self.check(0, "--stages", "bits", "--patience", "0.04")
        result = self.record()[1]["stages"]["bits"]
        self.assertEqual(result["status"], "skipped")
        self.assertRegex(result["text"], r"1 kernels with and without waits; SKIPPED: no end within 1 s: .*gpu_bits_test")

    def test_bits_do_not_pass_without_the_twin(self):
        os.remove(self.played.at("bin/gpu_bits_test_jitter"))
        self.expect("bits", 0, "skipped", "SKIPPED: no twin of it with pseudo-random waits")
        os.remove(self.played.at("bin/gpu_bits_test"))
        self.expect("bits", 0, "skipped", "SKIPPED: gpu_bits_test is not built")

    def test_kernels_stand_beside_their_predictions(self):
        self.expect("kernels", 0, "passed", "sprint 15 us by ncu, 8 predicted")
        rows = {(row["network"], row["kernel"], row["layer"]): row for row in self.record()[1]["stages"]["kernels"]["details"]["rows"]}
        self.assertAlmostEqual(rows["sprint", "first_norm", "conv1"]["ratio"], 1.2)
        self.assertAlmostEqual(rows["sprint", "product_norm", "dense1"]["ratio"], 3)
        self.assertIsNone(rows["sprint", "surprise", "-"]["predicted_us"])
        self.assertIn("quick: gpu_model.py, exit 1: played: no model of it", self.played.output)
        with open(self.played.at("gpu_check/gpu_check-kernels.csv"), encoding="utf-8") as file:
            self.assertIn("sprint,fp32,product_norm,dense1,3.000,1.000,3.000,ncu\n", file.read())

    def test_kernels_are_measured_by_events_where_ncu_refuses(self):
        self.played.play(NCU_REFUSES="yes")
        self.expect("kernels", 0, "passed", "sprint 10 us by events, 8 predicted")
        self.assertIn("sprint: ncu, exit 1: ==ERROR== ERR_NVGPUCTRPERM", self.played.output)
        rows = {row["layer"]: row for row in self.record()[1]["stages"]["kernels"]["details"]["rows"] if row["network"] == "sprint"}
        self.assertAlmostEqual(rows["conv1"]["measured_us"], 8)
        self.assertAlmostEqual(rows["update"]["ratio"], 0.5)
        self.assertIsNone(rows["conv2"]["measured_us"])
        os.remove(os.path.join(self.played.tools, "ncu"))
        if kernels.find_ncu().startswith("no ncu"):
            self.expect("kernels", 0, "passed", "sprint 10 us by events")
            self.assertIn("sprint: no ncu on this machine", self.played.output)

    def test_a_benchmark_that_fails_is_told(self):
        self.expect("benchmark", 1, "failed", "played failure", PEER_FAILS="1")

    def test_time_is_limited_and_nothing_is_left_running(self):
        self.played.play(HANGS="6543")
        self.check(1, "--stages", "nodes", "--patience", "0.05")
        self.assertIn("no end within", self.played.output)
        self.assertEqual(self.played.left(), [])

    def test_what_was_known_when_time_was_over_is_kept(self):
        self.played.play(HANGS="6543", HANGS_IN="sprint")
        self.check(1, "--stages", "report,bits,nodes", "--patience", "0.02")
        self.assertEqual(self.record()[1]["stages"]["nodes"]["status"], "passed")

    def test_libraries_are_looked_for_where_they_are_named(self):
        self.played.play(MISSING="libcudart.so.77")
        self.check(1, "--stages", "report")
        self.assertIn("trainer does not start here without: libcudart.so.77", self.played.output)
        place = os.path.join(self.played.folder, "elsewhere")
        write(os.path.join(place, "libcudart.so.77"), "")
        self.check(0, "--stages", "report", "--cuda-libs", place, self.played.folder)
        self.assertEqual(self.record()[1]["libraries"].split(":")[1], place)

    def test_an_nccl_that_the_loader_finds_needs_no_folder(self):
        cuda, ldconfig = self.played.at("cuda"), os.path.join(self.played.tools, "ldconfig")
        write(os.path.join(cuda, "lib64/libnccl.so.2"), "")
        for text, found in (("echo 'libnccl.so.2 => /opt'; seq 100000", False), ("exit 1", True)):
            write(ldconfig, f"#!/bin/sh\n{text}\n")
            self.check(0, "--stages", "report", "--again", CUDA_HOME=cuda)
            self.assertEqual(f":{cuda}/lib64\n" in self.played.output, found)

    def test_wrong_usage_is_2(self):
        for arguments in (["--stages", "repart"], ["--stages"], ["--build", self.played.bundle], ["--cuda-libs"],
                          ["--cuda-libs", "/none"], ["--patience", "0"], ["--bogus"], ["--first", "--stages", "report"],
                          ["--second", "--patience", "2"]):
            self.check(2, *arguments)

    def test_launches_are_matched_by_name_and_occurrence(self):
        model = [{"kernel": name, "layer": layer, "us": 1} for name, layer in
                 (("product", "a"), ("head", "b"), ("product", "c"), ("muon", "step"), ("spare", "d"))]
        step = [("head", 2), ("product", 3), ("library", 4), ("product", 5), ("muon", 6)]
        slower = [(name, us + 2) for name, us in step]
        launches = [("fill", 9), *step, *step, *slower, *slower, ("product", 7)]
        steps = kernels.steps_of(launches, [kernel["kernel"] for kernel in model])
        self.assertEqual(steps, [step, slower, slower], "the first stands behind what was launched before any step")
        measured = [(row["kernel"], row["layer"], row["measured_us"]) for row in kernels.match(steps, model)]
        self.assertEqual(measured, [("product", "a", 5), ("head", "b", 4), ("product", "c", 7), ("muon", "step", 8),
                                    ("spare", "d", None), ("library", "-", 6)])
        self.assertEqual(kernels.steps_of([("fill", 9)], ["muon"]), [])
        self.assertEqual(kernels.base_name("void trainer::cuda::<unnamed>::product_norm<(int)0, (bool)1>(trainer::Terms)"),
                         "product_norm")


if __name__ == "__main__":
    unittest.main()
