// The program on a GPU, which the emulated CUDA plays: what it says about it, which it takes, and what is
// left when the device fails on the way.
#include "tests/commands/gpu_program.hpp"

namespace trainer::test {
namespace {

const char* const kBlock =
    "Found device 0 with properties:\n"
    "name: Emulated Device\n"
    "major: 9 minor: 0 memoryClockRate (GHz) 1\n"
    "pciBusID 0000:0a:00.0\n"
    "Total memory: 4.00GiB\n"
    "Free memory: 4.00GiB\n";

TEST_F(GpuProgram, AutoTakesTheGpuAndOpensWithItsReport) {
  const Outcome outcome = on_gpu(small_training({"--out", "run"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_TRUE(outcome.out.starts_with(kBlock)) << outcome.out;
  EXPECT_EQ(lines_with(outcome.out, "none used"), 0U);
  const RunRecord run = record("run");
  EXPECT_EQ(run.device["kind"], "cuda");
  EXPECT_EQ(run.device["gpu"]["used"], true);
  EXPECT_EQ(run.device["gpu"]["name"], "Emulated Device");
  EXPECT_EQ(run.machine["gpu"], "Emulated Device");
  EXPECT_EQ(metrics("run").size(), 2U);
  const Outcome devices = on_gpu({"devices"});
  EXPECT_TRUE(devices.out.starts_with(kBlock)) << devices.out;
}

TEST_F(GpuProgram, AutoWithoutAGpuGoesOnWithTheCpuAndSaysSoOnce) {
  const Outcome hidden = trainer(small_training({"--out", "hidden"}));
  ASSERT_EQ(hidden.code, 0) << hidden.err;
  EXPECT_EQ(lines_with(hidden.out, "none used: CUDA_VISIBLE_DEVICES is empty"), 1U) << hidden.out;
  EXPECT_EQ(record("hidden").device["kind"], "cpu");
  EXPECT_PRED2(contains, record("hidden").device["gpu"]["reason"], "CUDA_VISIBLE_DEVICES is empty");
  const Outcome absent = on_gpu(small_training({"--no-save"}), {"TRAINER_EMULATOR_DEVICE=none"});
  ASSERT_EQ(absent.code, 0) << absent.err;
  EXPECT_EQ(lines_with(absent.out, "none used: "), 1U) << absent.out;
}

TEST_F(GpuProgram, AGpuThatIsAskedForAndNotThereIsAnErrorWithTheReason) {
  const Outcome seventh = on_gpu(small_training({"--device", "cuda:7"}));
  expect_one_line(seventh, 1);
  EXPECT_PRED2(contains, seventh.err, "--device cuda:7: there is no GPU 7");
  const Outcome hidden = trainer(small_training({"--device", "cuda"}));
  expect_one_line(hidden, 1);
  EXPECT_PRED2(contains, hidden.err, "CUDA_VISIBLE_DEVICES is empty");
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

TEST_F(GpuProgram, AK80IsReportedAndRefusedForItsArchitecture) {
  const Words k80{"TRAINER_EMULATOR_DEVICE=k80"};
  const Outcome devices = on_gpu({"devices"}, k80);
  EXPECT_EQ(devices.code, 0) << devices.err;
  // Free memory only a context tells, or NVML.
  EXPECT_TRUE(
      devices.out.starts_with("Found device 0 with properties:\n"
                              "name: Tesla K80\n"
                              "major: 3 minor: 7 memoryClockRate (GHz) 0.8235\n"
                              "pciBusID 06c3:00:00.0\n"
                              "Total memory: 11.17GiB\n"))
      << devices.out;
  EXPECT_PRED2(contains, devices.out, "none used: GPU 0, Tesla K80 of compute capability 3.7");
  const Outcome refused = on_gpu(small_training({"--device", "cuda"}), k80);
  expect_one_line(refused, 1);
  EXPECT_PRED2(contains, refused.err, "compute capability 3.7, cannot run this program");
  const Outcome automatic = on_gpu(small_training({"--out", "run"}), k80);
  ASSERT_EQ(automatic.code, 0) << automatic.err;
  EXPECT_EQ(lines_with(automatic.out, "none used: GPU 0, Tesla K80"), 1U);
  EXPECT_EQ(record("run").device["kind"], "cpu");
}

TEST_F(GpuProgram, SeveralGpusHaveAPeerMatrixAndTheOneAskedForIsUsed) {
  const Words two{"TRAINER_EMULATOR_DEVICE=two"};
  EXPECT_PRED2(contains, on_gpu({"devices"}, two).out, "DMA: 0 1 \n0:   Y Y \n1:   Y Y \n");
  const Outcome second = on_gpu(small_training({"--device", "cuda:1", "--out", "run"}), two);
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_EQ(lines_with(second.out, "in use        GPU 1"), 1U) << second.out;
  EXPECT_EQ(record("run").device["gpu"]["index"], 1);
}

TEST_F(GpuProgram, ATrainingIsTheSameTwiceAndAsGoodOnTheCpu) {
  train("first", {"--epochs", "5", "--lr", "0.05"});
  train("second", {"--epochs", "5", "--lr", "0.05"});
  expect_same_tensors(folder_ / "first/model.safetensors", folder_ / "second/model.safetensors");
  EXPECT_GT(accuracy("first", "cuda"), 0.9);
  EXPECT_NEAR(accuracy("first", "cuda"), accuracy("first", "cpu"), 0.011);  // one image of a hundred
}

TEST_F(GpuProgram, TheEnergyOfATrainingIsRecordedWhereNvmlTellsIt) {
  fs::create_directories(folder_ / "lib");
  fs::create_symlink(TRAINER_NVML_STAND_IN, folder_ / "lib/libnvidia-ml.so.1");
  const Words nvml{"LD_LIBRARY_PATH=" + at("lib")};
  const Outcome outcome = on_gpu(small_training({"--out", "run"}), nvml);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "energy        1.5 J of the GPU");
  EXPECT_NEAR(record("run").results["energy_joules"], 1.5, 1e-9);
  ASSERT_EQ(on_gpu(small_training({"--out", "half", "--max-seconds", "1e-9"}), nvml).code, 0);
  ASSERT_EQ(on_gpu({"train", "--resume", "half", "--threads", "1"}, nvml).code, 0);
  EXPECT_NEAR(record("half").results["energy_joules"], 3, 1e-9) << "of both parts";
  ASSERT_EQ(trainer(small_training({"--out", "cpu", "--device", "cpu"}), nvml).code, 0);
  EXPECT_FALSE(record("cpu").results.contains("energy_joules"));
}

TEST_F(GpuProgram, TrainsAsWellInEveryPrecision) {
  train("fp32", {"--epochs", "5", "--lr", "0.05"});
  const double exact = metrics("fp32")[0]["train_loss"];
  for (const std::string precision : {"tf32", "fp16", "bf16"}) {
    SCOPED_TRACE(precision);
    train(precision, {"--epochs", "5", "--lr", "0.05", "--precision", precision});
    EXPECT_NEAR(accuracy(precision, "cuda"), accuracy("fp32", "cuda"), 0.05);
    EXPECT_EQ(accuracy(precision, "cuda"), metrics(precision).back()["test_accuracy"]) << "in its precision";
    const double rounded = metrics(precision)[0]["train_loss"];
    EXPECT_NE(rounded, exact);
    EXPECT_NEAR(rounded, exact, 0.02 * exact);
    EXPECT_EQ(record(precision).recipe["settings"]["precision"], precision);
    train(precision + " again", {"--epochs", "5", "--lr", "0.05", "--precision", precision});
    expect_same_tensors(folder_ / precision / "model.safetensors",
                        folder_ / (precision + " again") / "model.safetensors");
  }
  const Outcome wrong = on_gpu(small_training({"--precision", "fp8"}));
  expect_one_line(wrong, 2);
}

TEST_F(GpuProgram, AProfileIsTimedByTheDevicesEvents) {
  const Outcome outcome = on_gpu(small_training({"--no-save", "--profile", "trace.json"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "the device's events around each op");
  EXPECT_TRUE(Json::parse(read_text(folder_ / "trace.json")).contains("traceEvents"));
}

TEST_F(GpuProgram, AnOldGpuIsRefusedThePrecisionsThatItDoesNotHave) {
  const Words t4{"TRAINER_EMULATOR_DEVICE=t4"};
  for (const std::string precision : {"tf32", "bf16"}) {
    const Outcome refused = on_gpu(small_training({"--precision", precision}), t4);
    expect_one_line(refused, 1);
    EXPECT_PRED2(contains, refused.err,
                 "GPU 0 (Tesla T4, compute capability 7.5) has no " + precision +
                     ", which came with 8.0; choose fp32 or fp16");
  }
  EXPECT_EQ(on_gpu(small_training({"--precision", "fp16", "--out", "run"}), t4).code, 0);
}

TEST_F(GpuProgram, TakesTheFastestPrecisionThatTheRecipeListsAndTheDeviceHas) {
  folder_.write("listed.yaml", small_network({}) + "  precisions: {cuda: [bf16, fp16]}\n");
  const Words words{"train", "--model", "listed.yaml", "--data", "data", "--out"};
  const auto precision_on = [&](const std::string& run, const Words& environment) {
    Words all = words;
    all.push_back(run);
    EXPECT_EQ(on_gpu(all, environment).code, 0);
    return std::string(record(run).recipe["settings"]["precision"]);
  };
  EXPECT_EQ(precision_on("new", {}), "bf16");
  EXPECT_EQ(precision_on("old", {"TRAINER_EMULATOR_DEVICE=t4"}), "fp16");
  EXPECT_EQ(precision_on("none", {"TRAINER_EMULATOR_DEVICE=none"}), "fp32");
}

struct Fault {
  std::string planted;  // TRAINER_EMULATOR_FAIL
  std::string said;
  const char* hold = "0";  // TRAINER_EMULATOR_HOLD: whether work is in flight when it fails
};

// Each comes after the first epoch.
TEST_F(GpuProgram, ADeviceThatFailsEndsTheRunWithOneLineAndItsCheckpointGoesOn) {
  train("whole", {"--epochs", "3"});
  int number = 0;
  for (const Fault& fault : {Fault{"cudaGraphLaunch:30:719", "cudaGraphLaunch: cudaErrorLaunchFailure (719)"},
                             Fault{"launch:300:700", "cudaErrorIllegalAddress (700)"},
                             Fault{"launch:300:700", "cudaErrorIllegalAddress (700)", "1"},
                             Fault{"cudaEventRecord:5:999", "cudaEventRecord"}}) {
    const std::string run = "run" + std::to_string(++number);
    SCOPED_TRACE(fault.planted + ", work held back: " + fault.hold);
    const Outcome failed =
        on_gpu(small_training({"--epochs", "3", "--out", run}),
               {"TRAINER_EMULATOR_FAIL=" + fault.planted, std::string("TRAINER_EMULATOR_HOLD=") + fault.hold,
                "TRAINER_EMULATOR_REPORT=report"});
    expect_one_line(failed, 1);
    EXPECT_PRED2(contains, failed.err, fault.said);
    EXPECT_PRED2(contains, failed.err, "the last good checkpoint is");
    EXPECT_EQ(record(run).status, RunStatus::kFailed);
    EXPECT_PRED2(contains, record(run).reason, fault.said);
    EXPECT_FALSE(fs::exists(folder_ / run / "model.safetensors"));
    const std::string report = read_text(folder_ / "report");
    EXPECT_EQ(lines_with(report.substr(report.find("kernels in last graph")), ""), 1U) << report;
    ASSERT_TRUE(fs::exists(folder_ / run / "checkpoint.safetensors"));
    const Outcome rest = on_gpu({"train", "--resume", run, "--data", "data"});
    ASSERT_EQ(rest.code, 0) << rest.err;
    expect_same_tensors(folder_ / run / "model.safetensors", folder_ / "whole/model.safetensors");
  }
}

TEST_F(GpuProgram, MemoryThatIsFullIsSaidWithItsArena) {
  const Outcome outcome = on_gpu(small_training({"--out", "run"}), {"TRAINER_EMULATOR_FAIL=cudaMalloc:3:2"});
  expect_one_line(outcome, 1);
  EXPECT_PRED2(contains, outcome.err, "out of GPU memory: ");
  EXPECT_PRED2(contains, outcome.err, "GiB asked for the ");
  EXPECT_PRED2(contains, outcome.err, "of 4.000 GiB free");
  EXPECT_EQ(record("run").status, RunStatus::kFailed);
}

TEST_F(GpuProgram, ASignalWithWorkInFlightSavesAndTheRunGoesOnWithTheSameBits) {
  const Words length{"--epochs", "10", "--checkpoint-every", "0"};
  train("whole", length);
  Words words = small_training(length);
  words.insert(words.end(), {"--out", "run"});
  ChildProcess child(command(words), options(with_gpu({"TRAINER_EMULATOR_HOLD=1"})));
  ASSERT_TRUE(wait_until([&] {
    return fs::exists(folder_ / "run/metrics.jsonl") && !read_text(folder_ / "run/metrics.jsonl").empty();
  }));
  child.send(SIGINT);
  const Outcome outcome = child.wait();
  EXPECT_EQ(outcome.code, 128 + SIGINT) << outcome.err;
  const Outcome rest = on_gpu({"train", "--resume", "run", "--data", "data"});
  ASSERT_EQ(rest.code, 0) << rest.err;
  expect_same_tensors(folder_ / "run/model.safetensors", folder_ / "whole/model.safetensors");
  EXPECT_EQ(metrics("run").size(), 10U);
}

TEST_F(GpuProgram, ASprintIsALaunchASeedOfOneGraph) {
  const Outcome outcome = on_gpu({"sprint", "--model", "small.yaml", "--data", "data", "--seeds", "3",
                                  "--no-process", "--no-save", "--json"},
                                 {"TRAINER_EMULATOR_REPORT=report"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(json_lines(outcome.out).size(), 4U);
  const std::string report = read_text(folder_ / "report");
  EXPECT_PRED2(contains, report, "call cudaGraphInstantiate 1\n");
  EXPECT_PRED2(contains, report, "call cudaGraphLaunch 3\n");
}

TEST_F(GpuProgram, ARunGoesOnOnTheOtherEngineWithAWarning) {
  train("run", {"--epochs", "3", "--max-seconds", "0.001"});
  ASSERT_EQ(record("run").status, RunStatus::kStopped);
  const Outcome rest = on_gpu({"train", "--resume", "run", "--data", "data", "--device", "cpu"});
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_PRED2(contains, rest.out + rest.err, "this run was begun on ");
}

}  // namespace
}  // namespace trainer::test
