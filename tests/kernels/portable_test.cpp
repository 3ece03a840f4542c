// Whole networks train to the same bits with every instruction set and number of threads, and on the naive executor.
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <string>

#include "kernels/cpu/portable/backend.hpp"
#include "kernels/cpu/portable/kernels.hpp"
#include "models/network.hpp"
#include "models/spec.hpp"
#include "tests/kernels/naive_executor.hpp"

namespace trainer {
namespace {

constexpr std::uint32_t kImages = 40;
constexpr int kBatch = 16;

// Under a sanitizer, whose code for vectors is slow, one small network and fewer values stand for all.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// All tensors of the network after two steps and the evaluation of a batch.
std::vector<float> trained(const std::string& name, Backend& backend) {
  const Spec spec = find_spec(name, TRAINER_SOURCE_DIR "/models");
  std::mt19937 random(5);
  std::vector<std::uint8_t> images(std::size_t{kImages} * 28 * 28);
  std::vector<std::uint8_t> labels(kImages);
  for (std::uint8_t& pixel : images) pixel = static_cast<std::uint8_t>(random() % 256);
  for (std::uint8_t& label : labels) label = static_cast<std::uint8_t>(random() % 10);
  const Buffer resident_images = backend.make_resident(images.data(), images.size(), "the images");
  const Buffer resident_labels = backend.make_resident(labels.data(), labels.size(), "the labels");
  TrainingRule rule{optimizers_of(spec.recipe), spec.recipe.schedule};
  rule.schedule.steps = 4;
  Network network(make_plan(spec, {{28, 28, 1}, 10, kBatch}), backend, Purpose::training, rule.optimizers);
  network.initialize(1);
  StepState state;
  state.seed = 1;
  network.write_training_state(state);
  const StepInput input{
      resident_images.as<std::uint8_t>(),
      resident_labels.as<std::uint8_t>(),
      {.images = kImages, .batch = kBatch, .order = Order::shuffled, .last_batch = LastBatch::mask},
      {}};
  const auto recording =
      backend.record({{[&] { network.train_step(input, rule); }, 3}});  // the third batch is a short one
  recording->launch(1);
  if (name == "sprint-lean") {
    EXPECT_LE(recording->nodes(), 3 * 70U) << "launches of three steps";
  }
  EXPECT_EQ(network.read_training_state().first_bad_step, kNoBadStep) << name;
  std::vector<float> values{static_cast<float>(network.read_training_state().loss_sum)};
  for (const NetworkTensor& tensor : network.tensors()) {
    const std::vector<float> more = network.read(tensor);
    values.insert(values.end(), more.begin(), more.end());
  }
  return values;
}

class PortableBits : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (kSanitized && std::string(GetParam()) != "sprint-lean") GTEST_SKIP() << "too slow under a sanitizer";
  }
};

TEST_P(PortableBits, AreTheSameWithEveryExecutor) {
  ExecutorBackend naive;
  const std::vector<float> first = trained(GetParam(), naive);
  for (const cpu::PortableKernels* kernels : cpu::usable_portable_kernels()) {
    for (const int threads : {1, 2, 3}) {
      const auto backend = cpu::make_portable_backend(threads, *kernels);
      const std::vector<float> values = trained(GetParam(), *backend);
      ASSERT_EQ(values.size(), first.size());
      EXPECT_EQ(std::memcmp(values.data(), first.data(), first.size() * sizeof(float)), 0)
          << kernels->name << ", " << threads << " threads";
    }
  }
}

TEST_P(PortableBits, AreTheSameOnAGpu) {
  const GpuAvailability gpu = gpu_availability();
  if (!gpu.usable) GTEST_SKIP() << "no GPU: " << gpu.reason;
  const auto on_cpu = trained(GetParam(), *make_cpu_backend({.bits = Bits::portable}));
  const auto on_gpu = trained(GetParam(), *make_cuda_backend({.bits = Bits::portable}));
  ASSERT_EQ(on_gpu.size(), on_cpu.size());
  EXPECT_EQ(std::memcmp(on_gpu.data(), on_cpu.data(), on_cpu.size() * sizeof(float)), 0);
}

TEST(PortableBackends, HaveNoPrecisionButFp32) {
  EXPECT_THROW(make_cpu_backend({.precision = Precision::bf16, .bits = Bits::portable}), BackendError);
  if (!gpu_availability().usable) GTEST_SKIP() << "no GPU";
  EXPECT_THROW(make_cuda_backend({.precision = Precision::tf32, .bits = Bits::portable}), BackendError);
}

INSTANTIATE_TEST_SUITE_P(Networks, PortableBits,
                         testing::Values("quick", "lenet", "tf-sample", "cntk-sample", "cntk-convnet",
                                         "tf-convolutional", "pytorch-example", "sprint", "sprint-lean"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace trainer
