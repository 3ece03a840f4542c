// What a sprint asks of its device, counted by the emulated CUDA: one launch and one read-back against the
// clock, one graph for every seed, no library that the network goes without.
#include <algorithm>
#include <gtest/gtest.h>
#include <set>

#include "kernels/cuda/runtime/recording.hpp"
#include "tests/emulator/emulator_fixture.hpp"
#include "tests/train/small_training.hpp"
#include "trainer/measure/sprint.hpp"

namespace trainer::test {
namespace {

using Calls = std::map<std::string, int>;
using Names = std::set<std::string>;

// A first convolution with its pool, ReLU and the head: kernels of our own.
const char* const kOwnKernels = "  - conv: {out: 4, kernel: 3}\n  - relu\n  - maxpool: {size: 2}\n";
const char* const kBothLibraries =
    "  - conv: {out: 4, kernel: 3}\n  - maxpool: {size: 2}\n  - conv: {out: 6, kernel: 3}\n  - relu\n"
    "  - dense: {out: 9}\n  - relu\n";

class EmulatedSprint : public emulator::EmulatorTest {
 protected:
  trainer::Setup setup_of(const SmallNetwork& network) {
    return make_setup(parse_spec(small_network(network), "small.yaml"), {},
                      data::load_dataset(write_small_data(folder_)));
  }

  TemporaryFolder folder_;
};

// The libraries whose handles have been made.
Names opened() {
  Names libraries;
  if (emulator::calls("cudnnCreate") > 0) libraries.insert("cuDNN");
  if (emulator::calls("cublasLtCreate") > 0) libraries.insert("cuBLASLt");
  return libraries;
}

TEST_F(EmulatedSprint, AgainstTheClockItLaunchesOnceAndReadsBackOnce) {
  for (const bool held : {false, true}) {
    for (const char* layers : {kOwnKernels, kBothLibraries}) {
      emulator::hold_work(held);
      auto setup = setup_of({.length = "epochs: 1", .layers = layers});
      const auto backend = make_backend(kGpu);
      Sprint sprint(setup, *backend);
      for (const std::uint64_t seed : {1U, 2U, 3U}) {
        sprint.start_anew(seed);
        emulator::reset_counts();
        const SprintSeed result = sprint.run();
        EXPECT_EQ(emulator::counted("call "), (Calls{{"cudaEventRecord", 1},
                                                     {"cudaGraphLaunch", 1},
                                                     {"cudaMemcpyAsync", 1},
                                                     {"cudaStreamSynchronize", 1}}));
        EXPECT_EQ(emulator::copies_to_host(), 1U);
        EXPECT_EQ(emulator::runs("update"), 13U) << "steps of training";
        EXPECT_EQ(emulator::runs("advance"), 7U) << "steps of the test";
        EXPECT_EQ(result.seed, seed);
        EXPECT_EQ(result.test.images, 100U);
      }
    }
  }
}

TEST_F(EmulatedSprint, OneGraphServesEverySeed) {
  auto setup = setup_of({.length = "epochs: 1", .dropout_and_batchnorm = true});
  const auto backend = make_backend(kGpu);
  emulator::reset_counts();
  Sprint sprint(setup, *backend);
  std::map<std::uint64_t, std::vector<float>> weights;
  for (const std::uint64_t seed : {5U, 6U, 5U}) {
    sprint.start_anew(seed);
    sprint.run();
    const std::vector<float> state = state_of(sprint.network());
    const auto kept = weights.emplace(seed, state).first;
    EXPECT_EQ(state, kept->second) << "the same seed, other bits";
  }
  EXPECT_NE(weights[5], weights[6]);
  EXPECT_EQ(emulator::calls("cudaGraphInstantiate"), 1U);
}

TEST_F(EmulatedSprint, ASeedIsTheTrainingAndTheTestOfTheLoop) {
  const SmallNetwork network{.length = "epochs: 1", .dropout_and_batchnorm = true};
  auto setup = setup_of(network);
  const auto backend = make_backend(kGpu);
  Sprint sprint(setup, *backend);
  for (const std::uint64_t seed : {3U, 4U}) {
    sprint.start_anew(seed);
    const SprintSeed result = sprint.run();
    TrainSettings settings;
    settings.seed = seed;
    TrainingTrial trial({.network = network, .settings = settings}, kGpu);
    trial.run();
    ASSERT_EQ(trial.epochs.size(), 1U);
    EXPECT_EQ(result.test.accuracy, trial.epochs[0].test.accuracy);
    EXPECT_EQ(result.test.loss, trial.epochs[0].test.loss);
    EXPECT_EQ(result.train_loss, trial.epochs[0].train_loss);
    EXPECT_EQ(state_of(sprint.network()), state_of(trial.network()));
  }
}

TEST_F(EmulatedSprint, TheDataSetIsOnItsWayWhileTheHostGoesOn) {
  const auto setup = setup_of({});
  const auto backend = make_backend(kGpu);
  emulator::reset_counts();
  const ResidentData data(*backend, setup);
  EXPECT_EQ(emulator::counted("call "),
            (Calls{{"cudaMalloc", 4}, {"cudaMemcpyAsync", 4}, {"cudaMemsetAsync", 4}}));
}

TEST_F(EmulatedSprint, ASequenceThatIsTooLongForAGraphIsSeveral) {
  const auto backend = make_backend(kGpu);
  const Buffer states = backend->allocate(2 * sizeof(StepState), "a test");
  auto* state = states.as<StepState>();
  const auto advance = [&](StepState* of) { return [&backend, of] { backend->advance(of); }; };
  const std::uint64_t many = cuda::kMostNodes + 10;
  const auto sequence = backend->record({{advance(state), many}, {advance(state + 1), 5}});
  EXPECT_EQ(sequence->nodes(), many + 5);
  emulator::reset_counts();
  sequence->launch(1);
  EXPECT_EQ(emulator::calls("cudaGraphLaunch"), 3U);
  StepState read[2];
  backend->download(read, states.data(), sizeof(read));
  EXPECT_EQ(read[0].step, many);
  EXPECT_EQ(read[1].step, 5U);
}

TEST_F(EmulatedSprint, OnlyTheLibrariesThatANetworkNeedsAreOpened) {
  const std::map<std::string, Names> cases = {
      {kOwnKernels, {}},
      {"  - dense: {out: 8}\n  - relu\n", {}},
      {"  - dense: {out: 9}\n  - relu\n", {"cuBLASLt"}},
      {"  - conv: {out: 4, kernel: 3}\n  - conv: {out: 6, kernel: 3}\n  - relu\n", {"cuDNN"}},
      {kBothLibraries, {"cuBLASLt", "cuDNN"}},
  };
  for (const auto& [layers, needed] : cases) {
    SCOPED_TRACE(layers);
    emulator::reset();
    auto setup = setup_of({.length = "epochs: 1", .layers = layers});
    const auto backend = make_backend(kGpu);
    EXPECT_EQ(backend->info().gpu_software->cudnn, "emulated") << "told all the same";
    EXPECT_EQ(opened(), Names{}) << "before there is a network";
    Sprint sprint(setup, *backend);
    sprint.start_anew(1);
    sprint.run();
    EXPECT_EQ(opened(), needed);
    const DeviceInfo info = backend->info(Libraries::opened);
    EXPECT_EQ(info.gpu_software->cudnn, needed.contains("cuDNN") ? "emulated" : "");
    EXPECT_EQ(info.gpu_software->cublas, needed.contains("cuBLASLt") ? "emulated" : "");
  }
}

// The test behind it included; of the networks that are made for it, the whole recipe.
TEST_F(EmulatedSprint, AnEpochOfEveryShippedNetworkIsOneGraph) {
  for (const Spec& spec : all_specs(TRAINER_SOURCE_DIR "/models")) {
    SCOPED_TRACE(spec.name);
    emulator::reset();
    const auto backend = make_backend(kGpu);
    const Recipe& recipe = spec.recipe;
    Network network(make_plan(spec, {{28, 28, 1}, 10, recipe.batch}), *backend, Purpose::training,
                    optimizers_of(recipe));
    const Buffer nothing = backend->allocate(1, "a test");  // a recording looks at no image
    StepInput train{nothing.as<std::uint8_t>(), nothing.as<std::uint8_t>(), {}, {}};
    train.batching = {60000, 0, static_cast<std::uint32_t>(recipe.batch)};
    StepInput test = train;
    test.batching.images = 10000;
    const TrainingRule rule{optimizers_of(recipe), recipe.schedule};
    const std::uint64_t epoch = steps_per_epoch(train.batching);
    const std::uint64_t steps = std::min(epoch, static_cast<std::uint64_t>(recipe.steps.value_or(epoch)));
    const auto whole =
        backend->record({{[&] { network.train_step(train, rule); }, steps},
                         {[&] { network.evaluate_step(test); }, steps_per_epoch(test.batching)}});
    EXPECT_EQ(emulator::calls("cudaGraphInstantiate"), 1U);
    EXPECT_EQ(emulator::kernels_in_last_graph(), whole->nodes());
    RecordProperty("nodes of " + spec.name, static_cast<int>(whole->nodes()));
  }
}

// Nor where libraries are asked for: none has a layer with its normalisation.
TEST_F(EmulatedSprint, TheShippedSprintsOpenNoLibrary) {
  for (const char* name : {"sprint", "sprint-lean"}) {
    for (const bool libraries : {false, true}) {
      SCOPED_TRACE(name);
      emulator::reset();
      const auto backend = make_cuda_backend({.libraries = libraries});
      const Spec spec = find_spec(name, TRAINER_SOURCE_DIR "/models");
      const Network network(make_plan(spec, {{28, 28, 1}, 10, spec.recipe.batch}), *backend,
                            Purpose::training, optimizers_of(spec.recipe));
      EXPECT_EQ(opened(), Names{});
    }
  }
}

}  // namespace
}  // namespace trainer::test
