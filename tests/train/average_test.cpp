// `weights: ema` in whole trainings, on every engine: what the averages are, that tests are made with them, and that they are kept.
#include <algorithm>
#include <cmath>
#include <map>

#include "tests/kernels/tolerance.hpp"
#include "tests/train/broken_training.hpp"
#include "trainer/train/digest.hpp"

namespace trainer::test {
namespace {

const std::string kWord = "  weights: {ema: 0.3}\n";

SmallTraining training_of(const std::string& more_recipe) {
  return {
      .network = {
          .optimizer = "adam", .rate = "0.01", .dropout_and_batchnorm = true, .more_recipe = more_recipe}};
}

std::map<std::string, std::vector<float>> tensors_of(const Network& network) {
  std::map<std::string, std::vector<float>> all;
  for (const NetworkTensor& tensor : network.tensors()) all[tensor.name] = network.read(tensor);
  return all;
}

class AveragedTraining : public testing::TestWithParam<BackendKind> {};

TEST_P(AveragedTraining, AveragesEveryParameterAndRunningStatistic) {
  TrainingTrial trial(training_of(kWord), GetParam());
  std::map<std::string, std::vector<double>> want;
  for (const auto& [name, values] : tensors_of(trial.network()))
    if (name.ends_with(kAverageSuffix)) want[name].assign(values.begin(), values.end());
  ASSERT_EQ(want.size(), 10U) << "of conv1, batchnorm1 (4), dense1, dense2";
  for (int t = 1; t <= 6; ++t) {
    trial.step(1);
    const auto all = tensors_of(trial.network());
    for (auto& [name, averages] : want) {
      const std::vector<float>& values = all.at(name.substr(0, name.size() - kAverageSuffix.size()));
      const double d = std::min(0.3, (1.0 + t) / (10.0 + t));
      for (std::size_t i = 0; i < values.size(); ++i) averages[i] = d * averages[i] + (1 - d) * values[i];
      EXPECT_TRUE(near(all.at(name), averages, {.length = 6, .zeros = 0.99})) << name << ", step " << t;
    }
  }
}

// A network without averages whose weights are those averages answers the same.
TEST_P(AveragedTraining, IsTestedWithItsAverages) {
  TrainingTrial trial(training_of(kWord), GetParam()), plain(training_of(""), GetParam()),
      like(training_of(""), GetParam());
  trial.step(9);
  plain.step(9);
  for (const NetworkTensor& tensor : like.network().tensors())
    if (tensor.arena == 0) like.network().write(tensor, trial.network().read(trial.network().tested(tensor)));
  const double loss = trial.test_score()->loss;
  EXPECT_EQ(loss, like.test_score()->loss);
  EXPECT_NE(loss, plain.test_score()->loss);
  trial.step(3);
  plain.step(3);
  for (const NetworkTensor& tensor : plain.network().tensors())
    EXPECT_EQ(trial.network().read(tensor), plain.network().read(tensor))
        << tensor.name << ": learns as without";
}

TEST_P(AveragedTraining, GoesOnWithTheSameBits) {
  BrokenTraining training(training_of(kWord), GetParam());
  training.expect_same_when_stopped(13);
  if (!make_backend(GetParam())->runs_ahead()) training.expect_same_when_stopped(5);
}

// `decay 0` is the value itself, to the bit, and a loss that is not finite leaves averages as weights.
TEST_P(AveragedTraining, WithoutMemoryIsTheWeight) {
  TrainingTrial trial(training_of("  weights: {ema: 0}\n"), GetParam());
  trial.step(7);
  for (const NetworkTensor& tensor : trial.network().tensors()) {
    if (tensor.arena == 0) {
      EXPECT_EQ(trial.network().read(tensor), trial.network().read(trial.network().tested(tensor)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, AveragedTraining, testing::ValuesIn(all_backends()),
                         [](const auto& info) { return backend_name(info.param); });

TEST(AveragedTrainingDigest, IsThatOfEveryPortableEngine) {
  if (!kTestsPortable || !gpu_availability().usable) GTEST_SKIP() << "no two portable engines";
  TrainingTrial cpu(training_of(kWord), BackendKind::cpu_portable);
  TrainingTrial gpu(training_of(kWord), BackendKind::cuda_portable);
  TrainingTrial plain(training_of(""), BackendKind::cpu_portable);
  for (TrainingTrial* trial : {&cpu, &gpu, &plain}) trial->run();
  EXPECT_EQ(digest_of(cpu.network()), digest_of(gpu.network()));
  EXPECT_EQ(digest_with_optimizer(cpu.network()), digest_with_optimizer(gpu.network()));
  EXPECT_NE(digest_of(cpu.network()), digest_of(plain.network()));
}

TEST(AveragedTrainingFiles, GiveInferenceTheAverages) {
  TrainingTrial trial(training_of(kWord));
  trial.run();
  const Network& trained = trial.network();
  const auto backend = make_backend(BackendKind::cpu);
  trial.save(trial.folder() / "checkpoint", {});
  save_network(trial.folder() / "model", trial.setup(), trained, backend->info(), nullptr);
  for (const char* name : {"checkpoint", "model"}) {
    SCOPED_TRACE(name);
    const SafetensorsFile file = SafetensorsFile::read(trial.folder() / name);
    require_weights(file, trial.setup().plan, false);
    Network network(trial.setup().plan, *backend, Purpose::inference);
    EXPECT_FALSE(network.averages());
    load_weights(file, network, false);
    EXPECT_EQ(digest_of(network), digest_of(trained));
    for (const NetworkTensor& tensor : network.tensors()) {
      EXPECT_EQ(network.read(tensor), trained.read(trained.tested(tensor))) << tensor.name;
      EXPECT_NE(network.read(tensor), trained.read(tensor)) << tensor.name;
    }
  }
  EXPECT_EQ(SafetensorsFile::read(trial.folder() / "model").tensors().size(), 10U);
}

}  // namespace
}  // namespace trainer::test
