// What a backend offers besides its ops: memory, recordings, its description of itself, and two backends in one
// program. A small network runs one step, which covers everything that a step calls.
#include "kernels/backend.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <gtest/gtest.h>
#include <numeric>
#include <random>

#include "tests/kernels/conformance_cases.hpp"
#include "tests/kernels/device_array.hpp"
#include "tests/kernels/tolerance.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/sample_state.hpp"

namespace trainer {
namespace {

class Backends : public OnBackend, public testing::WithParamInterface<BackendKind> {
 protected:
  void SetUp() override { start(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(All, Backends, testing::ValuesIn(tested_backends()),
                         [](const auto& info) { return backend_name(info.param); });

TEST(Gpu, RunsEverySuiteToo) {
  const GpuAvailability gpu = gpu_availability();
  EXPECT_NE(gpu.usable, !gpu.reason.empty()) << "a reason exactly where it cannot be used";
  if (gpu.usable) return;
  if (gpu_required()) FAIL() << "TRAINER_REQUIRE_GPU=1, but " << gpu.reason;
  EXPECT_THROW(make_cuda_backend(CudaOptions{}), BackendError);
  GTEST_SKIP() << "no suite ran on a GPU: " << gpu.reason;
}

// gather, convolution, dense, head, backward, update: a network on random images.
class SmallNetwork {
 public:
  explicit SmallNetwork(Backend& backend)
      : backend_(backend),
        ops_{backend.prepare(kConv, kBatch, false), backend.prepare(kDense, kBatch, true),
             backend.prepare(kHead, kBatch, true)},
        arena_(backend, kArena * sizeof(float), "arena"),
        gradients_(backend, std::vector<float>(kArena, 0), "gradients"),
        workspace_(backend, largest_workspace(), "workspace"),
        state_(backend, std::vector<StepState>{StepState{.seed = 3}}, "state") {
    std::mt19937 bits(1);
    const auto bytes = [&](std::size_t count, unsigned below) {
      std::vector<std::uint8_t> values(count);
      for (std::uint8_t& value : values) value = static_cast<std::uint8_t>(bits() % below);
      return values;
    };
    images_ = std::make_unique<DeviceArray>(backend, bytes(kImages * kPicture.size(), 256), "images");
    labels_ = std::make_unique<DeviceArray>(backend, bytes(kImages, 4), "labels");
    std::vector<float> arena(kArena, 0);
    std::size_t end = 0;
    for (const auto& op : ops_) {
      saved_.push_back(std::make_unique<DeviceArray>(backend, op->saved_bytes(), "saved"));
      const std::vector<ParameterDesc> roles = parameters(op->desc());
      for (int i = 0; i < 2; ++i) {
        std::vector<float> canonical(roles[static_cast<std::size_t>(i)].count());
        for (float& value : canonical) value = static_cast<float>(bits() * 0x1p-33 - 0.25);
        segments_.push_back({end, op->stored_count(i)});
        op->store(i, canonical.data(), arena.data() + end);
        end += (op->stored_count(i) + 15) / 16 * 16;
      }
      maps_.push_back(std::make_unique<DeviceArray>(backend, kBatch * out_shape(op->desc()).size() * 4, "y"));
      slopes_.push_back(
          std::make_unique<DeviceArray>(backend, kBatch * in_shape(op->desc()).size() * 4, "dx"));
    }
    if (end > kArena) throw std::length_error("the arena of the small network is too small");
    arena_.upload(arena);
    x_ = std::make_unique<DeviceArray>(backend, kBatch * kPicture.size() * 4, "x");
    batch_labels_ = std::make_unique<DeviceArray>(backend, kBatch, "labels of the batch");
  }

  void train_step() {
    auto* state = state_.as<StepState>();
    backend_.gather({.batching = batching_,
                     .stored = kPicture,
                     .shape = kPicture,
                     .scale = 1 / 255.0F,
                     .shift = -0.5F,
                     .images = images_->as<std::uint8_t>(),
                     .stored_labels = labels_->as<std::uint8_t>(),
                     .x = x_->as<float>(),
                     .labels = batch_labels_->as<std::uint8_t>(),
                     .state = state});
    for (std::size_t i = 0; i < ops_.size(); ++i) ops_[i]->forward(args(i));
    for (std::size_t i = ops_.size(); i-- > 0;) ops_[i]->backward(args(i));
    backend_.update({.optimizers = &optimizers_,
                     .schedule = {},
                     .batching = batching_,
                     .segments = &segments_,
                     .w = arena_.as<float>(),
                     .dw = gradients_.as<float>(),
                     .state = state});
  }

  // All weights, canonical, concatenated.
  std::vector<float> weights() {
    const std::vector<float> arena = arena_.download<float>();
    std::vector<float> all;
    for (std::size_t s = 0; s < segments_.size(); ++s) {
      const Op& op = *ops_[s / 2];
      std::vector<float> canonical(parameters(op.desc())[s % 2].count());
      op.fetch(static_cast<int>(s % 2), arena.data() + segments_[s].offset, canonical.data());
      all.insert(all.end(), canonical.begin(), canonical.end());
    }
    return all;
  }

  StepState state() const { return state_.download<StepState>().front(); }

 private:
  static constexpr Shape kPicture{12, 12, 1};
  static constexpr int kBatch = 8;
  static constexpr std::size_t kImages = 30;
  static constexpr std::size_t kArena = 16384;
  const OpDesc kConv = with_relu(with_pool(conv(kPicture, 3, 8), 2, 2));
  const OpDesc kDense = with_relu(dense(200, 24));
  const OpDesc kHead = HeadDesc{.in = 24, .classes = 4};

  std::size_t largest_workspace() const {
    std::size_t most = 0;
    for (const auto& op : ops_) most = std::max(most, op->workspace_bytes());
    return most;
  }

  OpArgs args(std::size_t i) {
    OpArgs a;
    a.x = i == 0 ? x_->as<float>() : maps_[i - 1]->as<float>();
    a.y = maps_[i]->as<float>();
    a.dy = i + 1 < ops_.size() ? slopes_[i + 1]->as<float>() : nullptr;
    a.dx = i == 0 ? nullptr : slopes_[i]->as<float>();
    a.w = arena_.as<float>() + segments_[2 * i].offset;
    a.b = arena_.as<float>() + segments_[2 * i + 1].offset;
    a.dw = gradients_.as<float>() + segments_[2 * i].offset;
    a.db = gradients_.as<float>() + segments_[2 * i + 1].offset;
    a.saved = saved_[i]->as<std::byte>();
    a.workspace = workspace_.as<std::byte>();
    a.labels = batch_labels_->as<std::uint8_t>();
    a.state = state_.as<StepState>();
    return a;
  }

  Backend& backend_;
  std::array<std::unique_ptr<Op>, 3> ops_;
  DeviceArray arena_, gradients_, workspace_, state_;
  std::vector<std::unique_ptr<DeviceArray>> saved_, maps_, slopes_;
  std::unique_ptr<DeviceArray> images_, labels_, x_, batch_labels_;
  std::vector<Segment> segments_;
  const std::vector<Optimizer> optimizers_{Optimizer{}};
  const Batching batching_{kImages, 0, kBatch, Order::shuffled, LastBatch::mask};
};

std::vector<float> weights_after(Backend& backend, int steps) {
  SmallNetwork network(backend);
  for (int s = 0; s < steps; ++s) network.train_step();
  backend.wait();
  return network.weights();
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<double> doubles(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

TEST_P(Backends, MemoryIsZeroedAlignedAndCopiedWhole) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{63}, std::size_t{4096}, std::size_t{1} << 20}) {
    const Buffer buffer = backend().allocate(bytes, "a test");
    ASSERT_EQ(buffer.bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0U);
    std::vector<std::uint8_t> values(bytes, 1);
    backend().download(values.data(), buffer.data(), bytes);
    EXPECT_EQ(values, std::vector<std::uint8_t>(bytes, 0));
    std::iota(values.begin(), values.end(), std::uint8_t{3});
    std::vector<std::uint8_t> back(bytes);
    backend().upload(buffer.data(), values.data(), bytes);
    backend().download(back.data(), buffer.data(), bytes);
    EXPECT_EQ(back, values);
  }
}

TEST_P(Backends, MemoryThatCannotBeHadIsAnErrorThatNamesItsUse) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer ends the program where memory cannot be had";
#endif
  try {
    backend().allocate(std::size_t{1} << 60, "the activations of a test");
    FAIL() << "got an exbibyte";
  } catch (const BackendError& error) {
    EXPECT_NE(std::string(error.what()).find("the activations of a test"), std::string::npos) << error.what();
  }
}

TEST_P(Backends, RecordedStepsTrainAsTheCallsThemselvesDo) {
  SmallNetwork network(backend());
  const auto step = backend().record({{[&] { network.train_step(); }, 1}});
  backend().wait();
  EXPECT_EQ(network.state().step, 0U) << "recording ran the step";
  for (int s = 0; s < 9; ++s) {
    while (backend().busy()) {
    }
    step->launch(1);
  }
  backend().wait();
  EXPECT_FALSE(backend().busy());
  EXPECT_EQ(network.state().step, 9U);
  EXPECT_EQ(network.state().images, 30U * 2 + 8);
  EXPECT_EQ(network.state().first_bad_step, kNoBadStep);
  EXPECT_TRUE(same_bits(network.weights(), weights_after(backend(), 9)));
}

TEST_P(Backends, ARecordedSequenceRunsItsStepsInTheirOrder) {
  SmallNetwork network(backend());
  SmallNetwork other(backend());
  const auto sequence = backend().record({{[&] { network.train_step(); }, 3},
                                          {[&] { other.train_step(); }, 1},
                                          {[&] { network.train_step(); }, 2}});
  EXPECT_EQ(network.state().step, 0U) << "recording ran a step";
  for (const int times : {1, 4}) sequence->launch(backend().runs_ahead() ? times : 1);
  backend().wait();
  const int repeats = backend().runs_ahead() ? 5 : 2;
  EXPECT_EQ(network.state().step, 5U * repeats);
  EXPECT_EQ(other.state().step, 1U * repeats);
  EXPECT_TRUE(same_bits(network.weights(), weights_after(backend(), 5 * repeats)));
  EXPECT_TRUE(same_bits(other.weights(), weights_after(backend(), repeats)));
}

TEST_P(Backends, TwoSideBySideDoNotDisturbEachOther) {
  const std::vector<float> alone = weights_after(backend(), 6);
  EXPECT_FALSE(same_bits(alone, weights_after(backend(), 0))) << "nothing was learned";
  const std::unique_ptr<Backend> other = make_backend(GetParam(), 1);
  SmallNetwork here(backend());
  SmallNetwork there(*other);
  for (int s = 0; s < 6; ++s) {
    here.train_step();
    there.train_step();
  }
  backend().wait();
  other->wait();
  EXPECT_TRUE(same_bits(here.weights(), alone));
  EXPECT_TRUE(near(there.weights(), doubles(alone), Tolerance{.length = 200}));
}

TEST_P(Backends, AdvanceClosesAStepAndChangesNothingElse) {
  const DeviceArray state(backend(), std::vector<StepState>{state_at(41)}, "state");
  backend().advance(state.as<StepState>());
  backend().wait();
  const StepState got = state.download<StepState>().front();
  EXPECT_EQ(got.step, 42U);
  EXPECT_EQ(got.valid, 12345U);
  EXPECT_EQ(got.batch_loss, 7);
  EXPECT_EQ(got.first_bad_step, kNoBadStep);
  expect_sums_kept(got);
}

TEST_P(Backends, InfoNamesTheDeviceAndTheMachine) {
  const DeviceInfo info = backend().info();
  EXPECT_EQ(info.kind, GetParam() < kGpu ? "cpu" : "cuda");
  EXPECT_FALSE(info.name.empty());
  EXPECT_FALSE(info.cpu.model.empty());
  EXPECT_FALSE(info.cpu.instruction_set.empty());
  EXPECT_FALSE(info.cpu.loops.empty());
  EXPECT_FALSE(info.cpu.onednn_version.empty());
  EXPECT_GE(info.cpu.cores, 1);
  EXPECT_GE(info.cpu.threads, 1);
  EXPECT_GT(info.cpu.memory_bytes, std::uint64_t{64} << 20);
  EXPECT_GT(info.cpu.available_bytes, 0U);
  EXPECT_LE(info.cpu.available_bytes, info.cpu.memory_bytes);
}

TEST(CpuBackend, UsesTheThreadsItIsToldOrEveryCoreItMay) {
  EXPECT_EQ(make_cpu_backend({.threads = 3})->info().cpu.threads, 3);
  const DeviceInfo all = make_cpu_backend({})->info();
  EXPECT_EQ(all.cpu.threads, all.cpu.cores);
}

TEST(CpuBackend, GivesTheSameBitsRunAfterRunForANumberOfThreads) {
  const std::vector<float> one = weights_after(*make_cpu_backend({.threads = 1}), 8);
  for (const int threads : {1, 2, 3}) {
    const std::vector<float> first = weights_after(*make_cpu_backend({.threads = threads}), 8);
    const std::vector<float> second = weights_after(*make_cpu_backend({.threads = threads}), 8);
    EXPECT_TRUE(same_bits(first, second)) << threads << " threads";
    EXPECT_TRUE(near(first, doubles(one), Tolerance{.length = 200})) << threads << " threads";
  }
}

}  // namespace
}  // namespace trainer
