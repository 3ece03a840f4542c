// What bench times and how it counts; what a device can do at most; its record, there and back.
#include "trainer/measure/bench.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/measure/bench_records.hpp"
#include "tests/support/program.hpp"
#include "trainer/device/machine_state.hpp"
#include "trainer/system/files.hpp"

namespace trainer::test {
namespace {

DeviceInfo gpu_info(int major, int minor) {
  DeviceInfo info;
  info.kind = "cuda";
  info.gpu.emplace();
  info.gpu->major = major;
  info.gpu->minor = minor;
  return info;
}

TEST(Bench, AnotherSetOfTrainingsIsAnotherVersion) {
  std::string text;
  for (const bool quick : {false, true}) {
    const BenchSettings s = bench_settings(quick);
    text += fmt::format("{} {} {} {} {}:", s.warmup_steps, s.warmup_seconds, s.least_seconds, s.repeats,
                        s.epoch_images);
    for (const BenchSubject& t : s.subjects) text += fmt::format(" {} {} {}", t.model, t.batch, t.steps);
    text += '\n';
  }
  EXPECT_EQ(kBenchVersion, 1);
  EXPECT_EQ(text,
            "10 1 1 5 60000: quick 64 600 quick 256 235 pytorch-example 64 120 tf-sample 128 60\n"
            "5 0.3 0.3 3 60000: quick 64 150 quick 256 50 pytorch-example 64 30 tf-sample 128 15\n")
      << "raise kBenchVersion, or records that are not alike will be compared";
}

TEST(Bench, RunsThePrecisionsThatTheDeviceHas) {
  EXPECT_EQ(bench_precisions({}), cpu_has(Precision::bf16) ? Words({"fp32", "bf16"}) : Words({"fp32"}));
  EXPECT_EQ(bench_precisions(gpu_info(7, 5)), Words({"fp32", "fp16"}));
  EXPECT_EQ(bench_precisions(gpu_info(9, 0)), Words({"fp32", "tf32", "fp16", "bf16"}));
}

TEST(Bench, TakesTheMedianAndScalesToAnEpoch) {
  BenchResult result;
  result.training_flops = 1000;
  result.peak.per_second = 1e6;
  result.repeats = {{10, 640, 2}, {20, 1280, 2}, {10, 640, 4}};
  const Spread epoch = epoch_seconds(result, 60'000);
  EXPECT_DOUBLE_EQ(epoch.median, 187.5);
  EXPECT_DOUBLE_EQ(epoch.least, 93.75);
  EXPECT_DOUBLE_EQ(epoch.most, 375);
  EXPECT_DOUBLE_EQ(images_per_second(result), 320);
  EXPECT_DOUBLE_EQ(fraction_of_peak(result).value(), 0.32);
  result.peak.per_second = 0;
  EXPECT_FALSE(fraction_of_peak(result));
}

class TimedTraining : public testing::Test {
 protected:
  TimedTraining() {
    settings_.warmup_seconds = settings_.least_seconds = 0;
    settings_.repeats = 2;
  }

  trainer::Setup setup(const SmallNetwork& network) {
    return make_setup(parse_spec(small_network(network), "small.yaml"), {},
                      data::load_dataset(write_small_data(folder_)));
  }

  TemporaryFolder folder_;
  std::unique_ptr<Backend> backend_ = make_cpu_backend({1});
  BenchSettings settings_ = bench_settings(true);
  BenchSubject subject_{"small", 16, 5};
};

TEST_F(TimedTraining, CountsStepsImagesAndSecondsOfEachRepeat) {
  std::vector<int> told;
  const trainer::Setup small = setup({});
  const BenchResult result =
      time_training(small, *backend_, settings_, subject_, [&](int done) { told.push_back(done); });
  EXPECT_EQ(told, std::vector<int>({0, 1, 2}));
  ASSERT_EQ(result.repeats.size(), 2U);
  for (const BenchRepeat& repeat : result.repeats) {
    EXPECT_EQ(repeat.steps, 5U);
    EXPECT_EQ(repeat.images, 80U);
    EXPECT_GT(repeat.seconds, 0);
  }
  EXPECT_EQ(result.parameters, small.plan.parameters);
  EXPECT_EQ(result.training_flops, small.plan.training_flops);
  EXPECT_GT(result.memory_bytes, 2 * sizeof(float) * small.plan.parameters);
}

TEST_F(TimedTraining, GoesOnWhereTheStepsAreTooShortForAClock) {
  settings_.least_seconds = 0.05;
  const trainer::Setup small = setup({});
  const BenchResult result = time_training(small, *backend_, settings_, subject_, [](int) {});
  for (const BenchRepeat& repeat : result.repeats) {
    EXPECT_GE(repeat.seconds, 0.05);
    EXPECT_EQ(repeat.steps % 5, 0U);
    EXPECT_EQ(repeat.images, images_before(small.train, repeat.steps));
  }
}

TEST_F(TimedTraining, RefusesATrainingThatDoesNotTrain) {
  SmallNetwork network;
  network.rate = "1e30";
  const trainer::Setup broken = setup(network);
  try {
    time_training(broken, *backend_, settings_, subject_, [](int) {});
    FAIL() << "timed";
  } catch (const std::runtime_error& error) {
    EXPECT_PRED2(contains, error.what(), "small, batch 16");
    EXPECT_PRED2(contains, error.what(), "not finite");
  }
}

TEST(DeviceLimits, OfAGpuAreItsClocksTimesItsUnits) {
  const std::unique_ptr<Backend> backend = make_cpu_backend({1});
  DeviceInfo h200 = gpu_info(9, 0);
  h200.gpu->multiprocessors = 132;
  h200.gpu->sm_clock_khz = 1'980'000;
  h200.gpu->memory_clock_khz = 3'201'000;
  h200.gpu->bus_width_bits = 6144;
  EXPECT_NEAR(arithmetic_limit(*backend, h200, "fp32").per_second, 66.9e12, 0.1e12);
  EXPECT_NEAR(arithmetic_limit(*backend, h200, "tf32").per_second, 535e12, 1e12);
  EXPECT_NEAR(memory_limit(*backend, h200).per_second, 4.917e12, 0.01e12);
}

TEST(DeviceLimits, FollowTheDataSheets) {
  EXPECT_NEAR(*flops_per_clock(8, 0, "tf32") * 108 * 1.41e9, 156e12, 1e12);  // A100
  EXPECT_NEAR(*flops_per_clock(8, 0, "fp32") * 108 * 1.41e9, 19.5e12, 0.1e12);
  EXPECT_NEAR(*flops_per_clock(7, 5, "fp16") * 40 * 1.59e9, 65e12, 1e12);          // T4
  EXPECT_NEAR(*flops_per_clock(8, 9, "fp32") * 128 * 2.52e9, 82.6e12, 0.1e12);     // RTX 4090
  EXPECT_NEAR(*flops_per_clock(12, 0, "tf32") * 170 * 2.407e9, 104.8e12, 0.5e12);  // RTX 5090
  EXPECT_FALSE(flops_per_clock(7, 5, "tf32"));
  EXPECT_FALSE(flops_per_clock(6, 1, "fp32"));
  EXPECT_FALSE(flops_per_clock(13, 0, "fp32"));
}

TEST(DeviceLimits, OfAProcessorAreMeasured) {
  const std::unique_ptr<Backend> backend = make_cpu_backend({1});
  const DeviceLimit limit = arithmetic_limit(*backend, backend->info(), "fp32");
  EXPECT_GT(limit.per_second, 1e7);
  EXPECT_LT(limit.per_second, 1e13);
  EXPECT_PRED2(contains, limit.source, "measured");
}

TEST(MachineState, SaysWhatKeptTheMachineBusy) {
  MachineState state;
  state.processors = 8;
  EXPECT_FALSE(was_busy(state)) << "unknown";
  state.load = 0.9;
  EXPECT_FALSE(was_busy(state));
  state.load = 1.1;
  EXPECT_TRUE(was_busy(state));
  EXPECT_EQ(state_text(state), "load 1.10 on 8 processors, n/a");
  state.gpu.emplace();
  state.gpu->sm_clock_mhz = 1980;
  state.gpu->throttle_reasons = Words{"power cap", "heat"};
  EXPECT_PRED2(contains, state_text(state), "SM 1980 MHz");
  EXPECT_PRED2(contains, state_text(state), "held back by: power cap, heat");
  EXPECT_EQ(state_json(state)["gpu"]["power_watts"], nullptr);
}

TEST(BenchRecordFile, ComesBackAsItWasWritten) {
  const TemporaryFolder folder;
  BenchRecord written = bench_record(2);
  written.settings.engine = "libraries";
  write_bench_record(folder / "a.json", to_json(written));
  const BenchRecord read = read_bench_record(folder / "a.json");
  EXPECT_EQ(to_json(read), to_json(written));
  const Json json = Json::parse(read_text(folder / "a.json"));
  EXPECT_DOUBLE_EQ(json["results"][0]["epoch_seconds"]["median"], 2);
  EXPECT_DOUBLE_EQ(json["results"][0]["epoch_seconds"]["max"], 2.5);
  EXPECT_DOUBLE_EQ(json["results"][0]["images_per_second"], 30'000);
  EXPECT_DOUBLE_EQ(json["results"][0]["share_of_peak"], 1.5);
}

TEST(BenchRecordFile, OfBeforeTheChoiceOfEnginesIsOfOurs) {
  const TemporaryFolder folder;
  Json json = to_json(bench_record(2));
  json["settings"].erase("engine");
  folder.write("a.json", json.dump());
  EXPECT_EQ(read_bench_record(folder / "a.json").settings.engine, "auto");
}

TEST(BenchRecordFile, IsRefusedWithPathAndReasonWhereItIsDamaged) {
  const TemporaryFolder folder;
  const auto refused = [&](const auto& damage, const std::string& reason) {
    Json json = to_json(bench_record(2));
    damage(json);
    const fs::path path = folder.write("bad.json", json.is_string() ? json.get<std::string>() : json.dump());
    SCOPED_TRACE(reason);
    try {
      (void)read_bench_record(path);
      ADD_FAILURE() << "accepted";
    } catch (const FileError& error) {
      EXPECT_PRED2(contains, error.what(), path.string());
      EXPECT_PRED2(contains, error.what(), reason);
    }
  };
  refused([](Json& j) { j = "{\"kind\": \"bench\", "; }, "not a JSON object");
  refused([](Json& j) { j = Json::array(); }, "not a JSON object");
  refused(
      [](Json& j) { j = "{\"before\":" + std::string(1'000'000, '[') + std::string(1'000'000, ']') + "}"; },
      "deeper than 64");
  refused([](Json& j) { j["kind"] = "accuracy"; }, "kind");
  refused([](Json& j) { j.erase("bench_version"); }, "no field 'bench_version'");
  refused([](Json& j) { j["settings"] = 3; }, "object");
  refused([](Json& j) { j["settings"]["quick"] = "no"; }, "'quick'");
  refused([](Json& j) { j["settings"]["epoch_images"] = 0; }, "'epoch_images' is 0");
  refused([](Json& j) { j["settings"]["epoch_images"] = 1e300; }, "'epoch_images'");
  refused([](Json& j) { j["results"] = Json::array(); }, "'results'");
  refused([](Json& j) { j["results"][1]["repeats"][0]["seconds"] = 0; }, "'seconds' is 0");
  refused([](Json& j) { j["results"][1]["repeats"][0]["seconds"] = -1.5; }, "'seconds' is -1.5");
  refused([](Json& j) { j["results"][1]["repeats"][0]["images"] = "many"; }, "'images'");
  refused([](Json& j) { j["results"][1]["batch"] = 99'999'999'999U; }, "'batch'");
  refused([](Json& j) { j["results"][0]["peak_flops_per_second"] = -1; }, "'peak_flops_per_second'");
  refused([](Json& j) { j["command"][0] = 1; }, "'command'");
}

}  // namespace
}  // namespace trainer::test
