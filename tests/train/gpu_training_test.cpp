// Whole small trainings on a GPU, a real or an emulated one: they follow the CPU's, and a launch of many
// steps is those steps one by one, bit for bit, wherever an epoch or a checkpoint cuts it.
#include <algorithm>
#include <gtest/gtest.h>

#include "tests/train/broken_training.hpp"

namespace trainer::test {
namespace {

class GpuTraining : public OnGpu {};

// A launch a step, so that every loss can be read. The first of them agree to what single precision leaves;
// later on a training multiplies its rounding errors, and what it comes to has to do.
void expect_follows_the_cpu(const SmallTraining& training) {
  constexpr std::size_t kCompared = 15;
  TrainingTrial cpu(training);
  TrainingTrial gpu(training, kGpu);
  const LoopResult result = gpu.run({.checkpoint_steps = 1});
  EXPECT_EQ(result.position.step, cpu.run().position.step);
  EXPECT_EQ(result.reason, StopReason::finished);
  ASSERT_EQ(gpu.losses.size() + 1, cpu.losses.size());
  for (std::size_t step = 0; step < std::min(kCompared, gpu.losses.size()); ++step)
    EXPECT_NEAR(gpu.losses[step], cpu.losses[step], 2e-4 * cpu.losses[step]) << "step " << step;
  cpu.valid_rows.pop_back();
  EXPECT_EQ(gpu.valid_rows, cpu.valid_rows);
  ASSERT_EQ(gpu.epochs.size(), cpu.epochs.size());
  for (std::size_t i = 0; i < gpu.epochs.size(); ++i) {
    SCOPED_TRACE("epoch " + std::to_string(i + 1));
    EXPECT_EQ(gpu.epochs[i].step, cpu.epochs[i].step);
    EXPECT_EQ(gpu.epochs[i].images, cpu.epochs[i].images);
    EXPECT_EQ(gpu.epochs[i].test.images, cpu.epochs[i].test.images);
    EXPECT_EQ(gpu.epochs[i].learning_rate, cpu.epochs[i].learning_rate);
    EXPECT_NEAR(gpu.epochs[i].train_loss, cpu.epochs[i].train_loss, 0.02 * cpu.epochs[i].train_loss);
    EXPECT_NEAR(gpu.epochs[i].test.accuracy, cpu.epochs[i].test.accuracy, 0.05);
  }
}

TEST_F(GpuTraining, FollowsTheCpuUnderEveryOptimiser) {
  for (const char* optimizer :
       {"sgd", "{sgd: {momentum: 0.9}}", "{sgd: {momentum: 0.9, nesterov: true}}",
        "{sgd: {momentum: {0: 0, 1: 0.9}, unit_gain: true}}", "adam", "adamw", "adadelta"}) {
    SCOPED_TRACE(optimizer);
    expect_follows_the_cpu({.network = {.optimizer = optimizer, .rate = "0.01"}});
  }
}

TEST_F(GpuTraining, FollowsTheCpuThroughDropoutAndBatchnorm) {
  expect_follows_the_cpu({.network = {.dropout_and_batchnorm = true}});
}

TEST_F(GpuTraining, FollowsTheCpuInEveryOrderAndAtEveryEndOfTheData) {
  for (const char* order : {"shuffled", "fixed"}) {
    for (const char* last_batch : {"mask", "drop", "wrap"}) {
      SCOPED_TRACE(std::string(order) + ", " + last_batch);
      expect_follows_the_cpu({.network = {.batch = 64, .order = order, .last_batch = last_batch}});
    }
  }
}

TEST_F(GpuTraining, FollowsTheCpuThroughEveryFormOfALayer) {
  const std::string hidden = "  - dense: {out: 12}\n  - relu\n";
  for (const std::string& layers : {
           // One channel with a pool that overlaps; the library's convolution with ReLU and pool.
           "  - conv: {out: 8, kernel: 5, padding: same}\n  - relu\n  - maxpool: {size: 3, stride: 2}\n"
           "  - conv: {out: 6, kernel: 3}\n  - maxpool: {size: 2}\n  - relu\n" +
               hidden,
           // ReLU and no pool, on one channel and on several.
           "  - conv: {out: 5, kernel: 3}\n  - relu\n  - conv: {out: 7, kernel: 3, padding: same}\n"
           "  - relu\n  - dropout: {drop: 0.25}\n" +
               hidden,
           // Neither, without a bias; an average pool.
           "  - conv: {out: 4, kernel: 3}\n  - conv: {out: 4, kernel: 2, bias: false}\n"
           "  - avgpool: {size: 3}\n" +
               hidden,
           // A first layer for the library; pools without ReLU; a norm between a convolution and its ReLU.
           "  - conv: {out: 6, kernel: 3, stride: 2, padding: same}\n  - maxpool: {size: 2}\n"
           "  - conv: {out: 8, kernel: 3, padding: same}\n  - batchnorm\n  - relu\n  - maxpool: {size: 3}\n" +
               hidden,
           // No convolution at all, and the last layer behind a dense one without ReLU.
           std::string("  - dense: {out: 20, bias: false}\n  - relu\n  - dense: {out: 12}\n"),
           std::string("  - relu\n"),
       }) {
    SCOPED_TRACE(layers);
    expect_follows_the_cpu({.network = {.layers = layers}});
  }
}

// On a GPU the second convolution and the dense layer take their norms in or, without quads of channels, do
// not.
TEST_F(GpuTraining, FollowsTheCpuInASprint) {
  for (const SprintWidths& widths : {SprintWidths{5, 6, 9}, {8, 12, 20}}) {
    for (const char* last_batch : {"mask", "wrap"}) {
      SCOPED_TRACE(fmt::format("{} channels first, {}", widths.first, last_batch));
      SmallTraining training = sprint_like(widths);
      training.network.last_batch = last_batch;
      expect_follows_the_cpu(training);
    }
  }
}

TEST_F(GpuTraining, ASprintOfOneDeviceGoesOnOnTheOther) {
  const SmallTraining training = sprint_like({8, 12, 20});
  for (const auto& [from, to] : {std::pair{kGpu, BackendKind::cpu}, {BackendKind::cpu, kGpu}}) {
    TrainingTrial first(training, from);
    first.step(5);
    const std::filesystem::path file = first.folder() / "checkpoint.safetensors";
    first.save(file, {.step = 5});
    TrainingTrial second(training, to);
    second.load(file);
    std::vector<std::string> names[2];
    for (const NetworkTensor& tensor : first.network().tensors()) names[0].push_back(tensor.name);
    for (const NetworkTensor& tensor : second.network().tensors()) names[1].push_back(tensor.name);
    EXPECT_EQ(names[0], names[1]);
    EXPECT_TRUE(same_bits(state_of(first.network()), state_of(second.network())));
    const double accuracy = first.test_score()->loss;
    EXPECT_NEAR(second.test_score()->loss, accuracy, 1e-4 * accuracy) << backend_name(from);
    first.step(1);
    second.step(1);
    const double loss = first.network().read_training_state().batch_loss;
    EXPECT_NEAR(second.network().read_training_state().batch_loss, loss, 1e-4 * loss);
  }
}

// Maps of 16 bits, in channels that fill no vector: the device's are padded. Every step's loss stays near
// fp32's, and what is read back has the network's own shapes.
TEST_F(GpuTraining, StaysNearFp32WithMapsOf16Bits) {
  const SmallTraining training{
      .network = {.rate = "0.01",
                  .layers = "  - conv: {out: 5, kernel: 3}\n  - batchnorm\n  - relu\n"
                            "  - conv: {out: 9, kernel: 3}\n  - maxpool: {size: 2}\n  - relu\n"
                            "  - dense: {out: 13}\n  - relu\n"}};
  TrainingTrial exact(training, kGpu);
  exact.run({.checkpoint_steps = 1});
  for (const BackendKind kind : rounding_backends()) {
    if (element_of(precision_of(kind)) == Element::fp32 || kind == BackendKind::cpu_bf16) continue;
    SCOPED_TRACE(backend_name(kind));
    TrainingTrial trial(training, kind);
    trial.run({.checkpoint_steps = 1});
    ASSERT_EQ(trial.losses.size(), exact.losses.size());
    for (std::size_t step = 0; step < trial.losses.size(); ++step)
      EXPECT_NEAR(trial.losses[step], exact.losses[step], 0.03 * exact.losses[step]) << "step " << step;
    for (const NetworkTensor& tensor : trial.network().tensors())
      EXPECT_EQ(trial.network().read(tensor).size(), tensor.count) << tensor.name;
  }
}

TEST_F(GpuTraining, TheSameSeedGivesTheSameBits) {
  const auto after = [](std::uint64_t seed) {
    TrainSettings settings;
    settings.seed = seed;
    TrainingTrial trial({.network = {.dropout_and_batchnorm = true}, .settings = settings}, kGpu);
    trial.run();
    return state_of(trial.network());
  };
  EXPECT_EQ(after(3), after(3));
  EXPECT_NE(after(3), after(4));
}

struct Length {
  std::uint64_t steps;  // of a pass
  std::uint32_t images;
  int batch;
  const char* last_batch = "mask";
  std::string layers = "";
};

SmallTraining training_of(const Length& length, int passes) {
  return {.data = {.train = length.images, .test = 20},
          .network = {.rate = "0.005",
                      .batch = length.batch,
                      .length = "epochs: " + std::to_string(passes),
                      .last_batch = length.last_batch,
                      .layers = length.layers}};
}

// Each pass in launches of many steps, and step by step without a recording.
void expect_many_are_the_steps_one_by_one(const Length& length, int passes) {
  SCOPED_TRACE(std::to_string(length.steps) + " steps, " + length.last_batch);
  TrainingTrial many(training_of(length, passes), kGpu);
  TrainingTrial eager(training_of(length, passes), kGpu);
  many.run({.checkpoint_epochs = 0});
  ASSERT_EQ(many.epochs.size(), static_cast<std::size_t>(passes));
  const Batching& batching = many.setup().train;
  const std::uint64_t images = images_before(batching, length.steps);
  EXPECT_EQ(images, batching.last_batch == LastBatch::mask ? length.images : length.steps * batching.batch);
  for (const EpochRecord& epoch : many.epochs) {
    EXPECT_EQ(epoch.step, epoch.epoch * length.steps);
    eager.step(length.steps);
    StepState state = eager.network().read_training_state();
    EXPECT_EQ(state.images, images);
    EXPECT_EQ(epoch.images, images);
    EXPECT_EQ(epoch.train_loss, state.loss_sum / static_cast<double>(images));
    EXPECT_EQ(epoch.train_accuracy, static_cast<double>(state.correct) / static_cast<double>(images));
    state.loss_sum = 0;
    state.correct = state.images = 0;
    eager.network().write_training_state(state);
  }
  EXPECT_EQ(state_of(many.network()), state_of(eager.network()));
}

TEST_F(GpuTraining, AnEpochOfAnyLengthCountsItsImagesOnceAndIsItsStepsOneByOne) {
  expect_many_are_the_steps_one_by_one(
      {.steps = 469, .images = 937, .batch = 2, .layers = "  - dense: {out: 8}\n  - relu\n"}, 1);
  expect_many_are_the_steps_one_by_one({.steps = 37, .images = 110, .batch = 3}, 2);   // a prime number
  expect_many_are_the_steps_one_by_one({.steps = 13, .images = 200, .batch = 16}, 2);  // less than a launch
  expect_many_are_the_steps_one_by_one({.steps = 32, .images = 256, .batch = 8}, 2);   // whole launches
  expect_many_are_the_steps_one_by_one({.steps = 19, .images = 79, .batch = 4, .last_batch = "drop"}, 2);
  expect_many_are_the_steps_one_by_one({.steps = 1, .images = 40, .batch = 50}, 2);
}

TEST_F(GpuTraining, ALaunchOfOneStepGivesTheSameBitsAsOneOfMany) {
  for (const char* last_batch : {"mask", "wrap"}) {
    const SmallTraining training{
        .data = {.train = 110, .test = 20},
        .network = {.batch = 3, .last_batch = last_batch, .dropout_and_batchnorm = true}};
    TrainingTrial many(training, kGpu);
    TrainingTrial single(training, kGpu);
    many.run();
    single.run({.checkpoint_steps = 1});
    expect_same_epochs(single.epochs, many.epochs);
    EXPECT_EQ(state_of(single.network()), state_of(many.network()));
  }
}

TEST_F(GpuTraining, GoesOnWithTheSameBitsFromTheMiddleOfAnEpoch) {
  // 29 steps an epoch: launches of 16 and 13.
  const auto training = [](const char* optimizer, const char* last_batch, const char* length) {
    return SmallTraining{.data = {.test = 20},
                         .network = {.optimizer = optimizer,
                                     .batch = 7,
                                     .length = length,
                                     .last_batch = last_batch,
                                     .dropout_and_batchnorm = true}};
  };
  BrokenTraining adam(training("adam", "mask", "epochs: 2"), kGpu);
  for (const std::size_t stop : {16U, 29U, 45U, 58U}) adam.expect_same_when_stopped(stop);
  BrokenTraining(training("{sgd: {momentum: 0.9}}", "drop", "epochs: 2"), kGpu).expect_same_when_stopped(44);
  BrokenTraining(training("adadelta", "wrap", "steps: 50"), kGpu).expect_same_when_stopped(45);
}

TEST_F(GpuTraining, GoesOnWithTheSameBitsFromEveryCheckpoint) {
  const SmallTraining training{.network = {.batch = 7, .dropout_and_batchnorm = true}};
  TrainingTrial whole(training, kGpu);
  whole.on_checkpoint = [&](const LoopPosition& position) {
    whole.save(whole.folder() / std::to_string(position.step), position);
  };
  whole.run({.checkpoint_steps = 21});
  ASSERT_EQ(whole.checkpoints.size(), 2U);
  for (const LoopPosition& position : whole.checkpoints) {
    TrainingTrial second(training, kGpu);
    second.run_from(second.load(whole.folder() / std::to_string(position.step)));
    EXPECT_EQ(state_of(second.network()), state_of(whole.network())) << position.step;
  }
}

}  // namespace
}  // namespace trainer::test
