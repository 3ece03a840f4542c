// What the loop writes down: the rate, the answers and the bad step of an epoch, and which images it takes statistics of
// and answers from.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "tests/train/small_training.hpp"

namespace trainer::test {
namespace {

TEST(LoopRecord, TheLearningRateIsThatOfTheLastStepOfTheEpoch) {
  TrainingTrial trial({.network = {.rate = "0.5",
                                   .batch = 20,
                                   .length = "epochs: 3",
                                   .more_recipe = "  schedule: {steps: {0: 1, 1: 0.5, 2: 0.25}}\n"}});
  trial.run();
  ASSERT_EQ(trial.epochs.size(), 3U);
  for (std::size_t epoch = 0; epoch < 3; ++epoch)
    EXPECT_FLOAT_EQ(trial.epochs[epoch].learning_rate, 0.5F / static_cast<float>(1U << epoch)) << epoch;

  // Within an epoch, too: 10 steps, and the exponential decays from one to the next.
  TrainingTrial falling({.network = {.rate = "0.5",
                                     .batch = 20,
                                     .length = "epochs: 1",
                                     .more_recipe = "  schedule: {linear: {start: 1, end: 0}}\n"}});
  falling.run();
  const trainer::Setup& setup = falling.setup();
  ASSERT_EQ(falling.epochs.size(), 1U);
  EXPECT_EQ(falling.epochs[0].learning_rate, learning_rate(setup.rule.schedule, 9, 0));
  EXPECT_NE(falling.epochs[0].learning_rate, learning_rate(setup.rule.schedule, 8, 0));
  EXPECT_NE(falling.epochs[0].learning_rate, learning_rate(setup.rule.schedule, 10, 1));
}

TEST(LoopRecord, CorrectAnswersAreThoseOfTheEpochAlone) {
  TrainingTrial trial({.network = {.rate = "0.05", .length = "epochs: 6", .dropout_and_batchnorm = true}});
  std::vector<std::uint64_t> correct;  // since the last evaluation, after each step
  trial.on_progress = [&](const LoopProgress&) {
    correct.push_back(trial.network().read_training_state().correct);
  };
  trial.run();
  ASSERT_EQ(trial.epochs.size(), 6U);
  for (std::size_t epoch = 0; epoch < 6; ++epoch) {
    EXPECT_EQ(trial.epochs[epoch].train_accuracy, static_cast<double>(correct[13 * epoch + 12]) / 200);
    EXPECT_LE(correct[13 * epoch], 16U) << "the first step of an epoch begins at zero";
  }
  EXPECT_GT(trial.epochs[5].train_accuracy, 0.5);
}

TEST(LoopRecord, TheBadStepIsTheOneWhoseUpdateRuinedTheWeights) {
  // One step an epoch, with a rate that is harmless in the first two.
  TrainingTrial trial({.network = {.optimizer = "sgd",
                                   .rate = "1e30",
                                   .batch = 200,
                                   .length = "epochs: 5",
                                   .more_recipe = "  schedule: {steps: {0: 1e-33, 2: 1}}\n"}});
  const LoopResult result = trial.run();
  EXPECT_EQ(result.reason, StopReason::bad_loss);
  ASSERT_EQ(trial.losses.size(), 3U);
  EXPECT_TRUE(std::isfinite(trial.losses[2])) << "found by the evaluation";
  EXPECT_EQ(result.bad_step, 2U);
}

TEST(LoopRecord, StatisticsAreOfTheImagesToTrainOnAlone) {
  TrainSettings settings;
  settings.validation = 50;
  TrainingTrial trial({.network = {.more_recipe = "  input: {normalize: data}\n"}, .settings = settings});
  const trainer::Setup& setup = trial.setup();
  const auto pixels = std::span(setup.dataset.train.images);
  const auto scale_of = [&](std::size_t images) {
    const data::PixelStatistics s = data::pixel_statistics(pixels.first(images * setup.dataset.shape.size()));
    return static_cast<float>(1.0 / 255 / s.deviation);
  };
  EXPECT_EQ(setup.scaling.scale, scale_of(150));
  EXPECT_NE(setup.scaling.scale, scale_of(200));
}

// Writes a data set of images of `h` x `w` with bright left edges, and gives its path.
std::string write_images(
    const TemporaryFolder& folder, const std::string& name, std::uint32_t h, std::uint32_t w,
    const std::function<std::uint8_t(std::uint32_t, std::uint32_t, std::uint32_t)>& pixel) {
  for (const char* part : {"train", "t10k"}) {
    std::vector<std::uint8_t> pixels;
    std::vector<std::uint8_t> labels;
    for (std::uint32_t image = 0; image < 32; ++image) {
      labels.push_back(static_cast<std::uint8_t>(image % 4));
      for (std::uint32_t at = 0; at < h * w; ++at) pixels.push_back(pixel(image, at / w, at % w));
    }
    const std::string prefix = name + "/" + part;
    folder.write(prefix + "-images-idx3-ubyte", idx_bytes({32, h, w}, pixels));
    folder.write(prefix + "-labels-idx1-ubyte", idx_bytes({32}, labels));
  }
  return (folder / name).string();
}

double first_test_loss(const std::string& data, const std::string& recipe, BackendKind kind) {
  const auto backend = make_backend(kind, 1);
  const trainer::Setup setup = make_setup(parse_spec(small_network({.more_recipe = recipe}), "small.yaml"),
                                          {}, data::load_dataset(data));
  Network network(setup.plan, *backend, Purpose::training, setup.rule.optimizers);
  const ResidentData resident(*backend, setup);
  network.initialize(1);
  return evaluate(network, *backend, resident.test_input(setup.test), [] { return false; })->loss;
}

class LoopRecordOf : public testing::TestWithParam<BackendKind> {};

TEST_P(LoopRecordOf, TheCentreOfImagesThatAreNotSquareIsTheirCentre) {
  const TemporaryFolder folder;
  const auto pixel = [](std::uint32_t image, std::uint32_t y, std::uint32_t x) {
    return static_cast<std::uint8_t>(37 * image + 29 * y + 53 * x);
  };
  const std::string tall = write_images(folder, "tall", 14, 9, pixel);
  const std::string wide = write_images(folder, "wide", 8, 13, pixel);
  const auto moved = [&](std::uint32_t top, std::uint32_t left) {
    return [=](std::uint32_t image, std::uint32_t y, std::uint32_t x) {
      return pixel(image, y + top, x + left);
    };
  };
  const std::string crop = "  input: {crop: 8}\n";
  EXPECT_EQ(first_test_loss(tall, crop, GetParam()),
            first_test_loss(write_images(folder, "tall_centre", 8, 8, moved(3, 0)), "", GetParam()));
  EXPECT_EQ(first_test_loss(wide, crop, GetParam()),
            first_test_loss(write_images(folder, "wide_centre", 8, 8, moved(0, 2)), "", GetParam()));
}

// Of equal logits the first is the answer: of 102 images 26 have the label 0, as many the label 1, and 25 each of the others.
TEST_P(LoopRecordOf, EqualLogitsAreAnsweredWithTheFirstClass) {
  TrainingTrial trial({.data = {.test = 102}}, GetParam());
  const auto answers = [&](const std::vector<float>& logits) {
    for (const NetworkTensor& tensor : trial.network().tensors())
      trial.network().write(tensor, tensor.name == "dense2.bias" ? logits : std::vector<float>(tensor.count));
    return trial.test_score()->accuracy;
  };
  EXPECT_EQ(answers({0, 0, 0, 0}), 26.0 / 102) << "0";
  EXPECT_EQ(answers({-1, 0, 0, 0}), 26.0 / 102) << "1, and not 2 or 3";
  EXPECT_EQ(answers({-1, -1, 0, 0}), 25.0 / 102);
  EXPECT_EQ(answers({-1, 0, -1, 0}), 26.0 / 102) << "1, and not 3";
}

TEST_P(LoopRecordOf, ParametersOfOneShapeStartDifferently) {
  TrainingTrial trial(
      {.network = {.layers = "  - dense: {out: 12}\n  - dense: {out: 12}\n  - dense: {out: 12}\n"}},
      GetParam());
  std::vector<std::vector<float>> weights;
  for (const NetworkTensor& tensor : trial.network().tensors())
    if (tensor.name.ends_with(".weight") && tensor.count == 144)
      weights.push_back(trial.network().read(tensor));
  ASSERT_EQ(weights.size(), 2U);
  EXPECT_NE(weights[0], weights[1]);
}

INSTANTIATE_TEST_SUITE_P(Engines, LoopRecordOf, testing::ValuesIn(all_backends()),
                         [](const auto& info) { return backend_name(info.param); });

}  // namespace
}  // namespace trainer::test
