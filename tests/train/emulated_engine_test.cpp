// What the GPU engine asks of its device during a training, counted by the emulated CUDA: what a step is made
// of, what happens within an epoch and what must not, how far the host runs ahead.
#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "tests/emulator/emulator_fixture.hpp"
#include "tests/train/small_training.hpp"

namespace trainer::test {
namespace {

constexpr std::uint64_t kSteps = 16;  // of a launch

using EmulatedEngine = emulator::EmulatorTest;

// 29 steps an epoch, 15 an evaluation.
SmallTraining short_batches(const std::string& length) {
  return {.network = {.batch = 7, .length = length, .dropout_and_batchnorm = true}};
}

// 469 steps, and 32 of evaluation.
SmallTraining long_epoch() {
  return {.data = {.train = 938, .test = 64},
          .network = {.batch = 2, .length = "epochs: 1", .layers = "  - dense: {out: 8}\n"}};
}

TEST_F(EmulatedEngine, WithinAnEpochItLaunchesAndLooksAndNothingElse) {
  TrainingTrial trial(short_batches("epochs: 3"), kGpu);
  std::map<std::string, int> of_second_epoch;
  trial.on_progress = [&](const LoopProgress& at) {
    if (at.epoch_begin != 29) return;
    if (at.step == at.epoch_end) of_second_epoch = emulator::counted("call ");
    if (at.step == 29 + kSteps) emulator::reset_counts();
  };
  trial.run();
  // Events are made in the first epoch and used again.
  using Calls = std::map<std::string, int>;
  EXPECT_EQ(of_second_epoch, (Calls{{"cudaEventQuery", 1}, {"cudaEventRecord", 1}, {"cudaGraphLaunch", 13}}));
}

TEST_F(EmulatedEngine, AnEvaluationReadsBackOnce) {
  for (const std::uint32_t validation : {0U, 50U}) {
    SmallTraining training = short_batches("epochs: 3");
    training.settings.validation = validation;
    TrainingTrial trial(training, kGpu);
    std::vector<std::uint64_t> copies;
    trial.on_progress = [&](const LoopProgress& at) {
      if (at.step == at.epoch_end) copies.push_back(emulator::copies_to_host());
    };
    emulator::reset_counts();
    trial.run({.checkpoint_epochs = 0});
    ASSERT_EQ(copies.size(), 3U);
    EXPECT_EQ(copies[0], 0U) << "the first epoch";
    EXPECT_EQ(copies[1] - copies[0], validation > 0 ? 2U : 1U);
    EXPECT_EQ(copies[2] - copies[1], validation > 0 ? 2U : 1U);
    EXPECT_EQ(emulator::calls("cudaMemcpy"), 0U);
  }
}

TEST_F(EmulatedEngine, SixteenStepsGoInOneLaunch) {
  TrainingTrial trial(long_epoch(), kGpu);
  std::vector<std::uint64_t> steps;
  std::uint64_t launches = 0;
  trial.on_progress = [&](const LoopProgress& at) {
    steps.push_back(at.step);
    launches = emulator::calls("cudaGraphLaunch");
  };
  trial.run();
  ASSERT_EQ(steps.size(), 30U);
  for (std::size_t i = 0; i < 29; ++i) EXPECT_EQ(steps[i], (i + 1) * kSteps);
  EXPECT_EQ(steps.back(), 469U);
  EXPECT_EQ(launches, 29U + 5U);
  EXPECT_EQ(emulator::calls("cudaGraphLaunch") - launches, 2U) << "32 steps of evaluation";
  EXPECT_EQ(emulator::runs("update"), 469U);
}

// Kernels and library calls of a training step at the recipe's batch, recorded.
std::size_t nodes_of_a_step(const Spec& spec, Backend& backend) {
  const Plan plan = make_plan(spec, {{28, 28, 1}, 10, spec.recipe.batch});
  Network network(plan, backend, Purpose::training, optimizers_of(spec.recipe));
  StepInput input;
  input.batching = {60000, 0, static_cast<std::uint32_t>(spec.recipe.batch)};
  // A recording looks at no image.
  const Buffer nothing = backend.allocate(1, "a test");
  input.images = input.labels = nothing.as<std::uint8_t>();
  const TrainingRule rule{optimizers_of(spec.recipe), spec.recipe.schedule};
  const auto step = backend.record({{[&] { network.train_step(input, rule); }, 1}});
  EXPECT_EQ(emulator::kernels_in_last_graph(), kSteps * step->nodes()) << "copies or fills in a step";
  return step->nodes();
}

// A library may take more kernels for one of its calls, so on a GPU these are the least.
TEST_F(EmulatedEngine, AStepHasFewKernels) {
  const std::map<std::string, std::size_t> most = {
      {"accurate", 22},    {"accurate-small", 14},    {"cntk-convnet", 22}, {"cntk-sample", 12},
      {"lenet", 14},       {"pytorch-example", 19},   {"quick", 9},         {"sprint", 11},
      {"sprint-lean", 11}, {"sprint-lean-views", 11}, {"sprint-995", 11},   {"tf-convolutional", 17},
      {"tf-sample", 17},
  };
  for (const Spec& spec : all_specs(TRAINER_SOURCE_DIR "/models")) {
    const auto backend = make_backend(kGpu);
    const std::size_t nodes = nodes_of_a_step(spec, *backend);
    RecordProperty("kernels of " + spec.name, static_cast<int>(nodes));
    const auto limit = most.find(spec.name);
    EXPECT_TRUE(limit != most.end() && nodes <= limit->second) << spec.name << " has " << nodes;
  }
}

TEST_F(EmulatedEngine, AStepOfQuickHasNoLibraryInItUnlessThatIsAskedFor) {
  const Spec quick = find_spec("quick", TRAINER_SOURCE_DIR "/models");
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16}) {
    for (const bool libraries : {false, true}) {
      SCOPED_TRACE(std::string(precision_name(precision)) + (libraries ? ", libraries" : ""));
      emulator::reset();
      const auto backend = make_cuda_backend({.precision = precision, .libraries = libraries});
      EXPECT_EQ(nodes_of_a_step(quick, *backend), libraries ? 14U : 9U);
      EXPECT_EQ(emulator::calls("cudnnCreate"), libraries ? 1U : 0U);
      EXPECT_EQ(emulator::calls("cublasLtCreate"), libraries ? 1U : 0U);
    }
  }
}

ConvDesc small_conv(int channels, int filters, int kernel = 3) {
  return {.in = {8, 8, channels}, .out = filters, .kernel = kernel, .pad = {}, .relu = true, .pool = {2, 2}};
}

// What stands in small_product.cu, limit by limit.
TEST_F(EmulatedEngine, SmallProductsAreOursAndTheOthersALibrarys) {
  const DenseDesc dense{.in = 1024, .out = 256, .relu = true, .y_map = {.masked = true}};
  const auto changed = [](auto desc, const auto& change) {
    change(desc);
    return OpDesc(desc);
  };
  struct Case {
    OpDesc desc;
    bool ours;
    int batch = 4;
  };
  const std::vector<Case> cases{
      {small_conv(64, 32, 4), true},
      {small_conv(64, 36, 4), false},
      {small_conv(68, 32, 4), false},
      {small_conv(6, 32), false},
      {small_conv(8, 30), false},
      {changed(small_conv(8, 16), [](ConvDesc& d) { d.pool = {}; }), false},
      {changed(small_conv(8, 16), [](ConvDesc& d) { d.pool = {}, d.relu = false; }), true},
      {changed(small_conv(8, 16),
               [](ConvDesc& d) {
                 d.pool = {3, 2};
               }),
       false},
      {changed(small_conv(8, 16), [](ConvDesc& d) { d.stride = 2; }), false},
      {changed(small_conv(8, 16), [](ConvDesc& d) { d.pad.right = 1; }), false},
      {dense, true, 1024},
      {dense, false, 1025},
      {changed(dense, [](DenseDesc& d) { d.out = 260; }), false},
      {changed(dense, [](DenseDesc& d) { d.in = 1028; }), false},
      {changed(dense, [](DenseDesc& d) { d.in = 30; }), false},
      {changed(dense, [](DenseDesc& d) { d.y_map.masked = false; }), false},
      {changed(dense, [](DenseDesc& d) { d.y_map.masked = d.relu = false; }), true},
  };
  for (const Case& c : cases) {
    for (const bool libraries : {false, true}) {
      SCOPED_TRACE(describe(c.desc) + (libraries ? ", libraries" : ""));
      emulator::reset();
      const auto backend = make_cuda_backend({.libraries = libraries});
      backend->prepare(c.desc, c.batch, true);
      const bool opened = emulator::calls("cudnnCreate") + emulator::calls("cublasLtCreate") > 0;
      EXPECT_EQ(opened, libraries || !c.ours);
    }
  }
}

// Its convolutions and dense layers have their norms in them, and all of that is ours.
TEST_F(EmulatedEngine, ASprintNeedsNoLibrary) {
  TrainingTrial trial(sprint_like({8, 12, 20}), kGpu);
  emulator::reset_counts();
  trial.run();
  EXPECT_EQ(emulator::library_calls_run(), 0U) << emulator::counts_text();
  EXPECT_EQ(emulator::runs("product_backward"), 2 * emulator::runs("muon"));
  EXPECT_EQ(emulator::runs("normalise"), 0U);
}

class WorkInFlight : public EmulatedEngine {
 protected:
  WorkInFlight() { emulator::hold_work(true); }
};

// A look at the device lets one launch of it be done.
TEST_F(WorkInFlight, TheHostRunsAheadButNotFar) {
  TrainingTrial trial(long_epoch(), kGpu);
  std::uint64_t furthest = 0;
  trial.on_progress = [&](const LoopProgress& at) {
    const std::uint64_t done = emulator::runs("update");
    ASSERT_GE(at.step, done);
    furthest = std::max(furthest, at.step - done);
  };
  trial.run();
  EXPECT_GT(furthest, kSteps) << "waits after every launch";
  EXPECT_LE(furthest, 4 * kSteps);
  EXPECT_EQ(emulator::runs("update"), 469U);
}

TEST_F(WorkInFlight, TrainsWithTheBitsOfWorkDoneAtOnce) {
  TrainingTrial held(short_batches("epochs: 3"), kGpu);
  held.run();
  emulator::hold_work(false);
  TrainingTrial at_once(short_batches("epochs: 3"), kGpu);
  at_once.run();
  EXPECT_EQ(state_of(held.network()), state_of(at_once.network()));
}

TEST_F(WorkInFlight, AStopComesAfterWhatHasBeenLaunched) {
  for (const std::uint64_t stop : {kSteps, 6 * kSteps}) {
    TrainingTrial trial(long_epoch(), kGpu);
    trial.stop_after = stop;
    emulator::reset_counts();
    std::uint64_t done = 0;
    trial.on_progress = [&](const LoopProgress&) { done = emulator::runs("update"); };
    const LoopResult result = trial.run();
    EXPECT_EQ(result.reason, StopReason::signal);
    EXPECT_EQ(result.position.step, stop) << "goes on launching";
    EXPECT_LT(done, stop) << "nothing was in flight";
    EXPECT_EQ(trial.network().read_training_state().step, stop);
    TrainingTrial eager(long_epoch(), kGpu);
    eager.step(stop);
    EXPECT_TRUE(same_bits(state_of(trial.network()), state_of(eager.network())));
  }
}

TEST_F(WorkInFlight, AStopIsSeenWhileTheDeviceIsBusy) {
  TrainingTrial trial(long_epoch(), kGpu);
  // Asked for only once the host waits for a full flight, which it does by asking for the oldest event.
  std::uint64_t queries = 0;
  trial.on_progress = [&](const LoopProgress& at) {
    if (at.step == 4 * kSteps) queries = emulator::calls("cudaEventQuery");
  };
  trial.stop_when = [&] { return queries > 0 && emulator::calls("cudaEventQuery") > queries; };
  const LoopResult result = trial.run();
  EXPECT_EQ(result.reason, StopReason::signal);
  EXPECT_EQ(result.position.step, 4 * kSteps);
}

TEST_F(WorkInFlight, AnEvaluationThatIsStoppedIsLeftToTheResumedRun) {
  SmallTraining training = short_batches("epochs: 2");
  training.data.test = 700;  // so many that some of its launches are still to come
  TrainingTrial first(training, kGpu);
  first.stop_when = [] { return emulator::runs("advance") > 0; };
  const LoopResult result = first.run();
  ASSERT_EQ(result.reason, StopReason::signal);
  EXPECT_EQ(result.position.step, 29U);
  EXPECT_TRUE(first.epochs.empty());
  const std::filesystem::path file = first.folder() / "checkpoint.safetensors";
  first.save(file, result.position);
  TrainingTrial second(training, kGpu);
  second.run_from(second.load(file));
  EXPECT_EQ(second.epochs.size(), 2U);
  TrainingTrial whole(training, kGpu);
  whole.run();
  EXPECT_EQ(state_of(second.network()), state_of(whole.network()));
  EXPECT_EQ(second.epochs[0].train_loss, whole.epochs[0].train_loss);
}

TEST_F(EmulatedEngine, GivesEverythingBack) {
  for (const bool held : {false, true}) {
    emulator::hold_work(held);
    {
      TrainingTrial trial(short_batches("epochs: 1"), kGpu);
      trial.stop_after = kSteps;
      trial.run();
      EXPECT_GT(emulator::holdings().allocations, 0U);
    }
    EXPECT_EQ(emulator::leak_report(), "");
    {
      const auto backend = make_backend(kGpu);
      backend->prepare(HeadDesc{.in = 16, .classes = 4}, 8, true);
      backend->info();
    }
    EXPECT_EQ(emulator::leak_report(), "");
  }
}

}  // namespace
}  // namespace trainer::test
