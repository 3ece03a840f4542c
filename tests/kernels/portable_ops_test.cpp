// What no shipped network meets and would differ from machine to machine all the same: subnormal operands, signed zeros and ties
// in the portable engine, with the bits that are due, on the kernels of every instruction set, with one thread and three, on the
// naive executor and on a GPU.
#include <cmath>
#include <gtest/gtest.h>

#include "kernels/cpu/portable/backend.hpp"
#include "kernels/cpu/portable/kernels.hpp"
#include "kernels/portable/elementary.hpp"
#include "tests/kernels/device_array.hpp"
#include "tests/kernels/naive_executor.hpp"
#include "tests/kernels/op_trial.hpp"

namespace trainer {
namespace {

using reference::Tensors;
using reference::Values;
using Patterns = std::vector<std::uint32_t>;

constexpr double kTiny = 0x1p-149;  // the smallest float above 0
constexpr std::uint32_t kMinusZero = 0x80000000;
constexpr std::uint32_t kOne = 0x3F800000;

Patterns bits_of(const std::vector<float>& values) {
  Patterns bits;
  for (const float value : values) bits.push_back(__builtin_bit_cast(std::uint32_t, value));
  return bits;
}

// Calls body(backend) for every way in which a CPU runs the kernels, and for a GPU if there is one.
void on_every_executor(const std::function<void(Backend&)>& body) {
  for (const cpu::PortableKernels* kernels : cpu::usable_portable_kernels()) {
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(std::string(kernels->name) + ", threads: " + std::to_string(threads));
      body(*cpu::make_portable_backend(threads, *kernels));
    }
  }
  {
    SCOPED_TRACE("naive");
    ExecutorBackend naive;
    body(naive);
  }
  if (!gpu_availability().usable) return;
  SCOPED_TRACE("GPU");
  body(*make_cuda_backend({.bits = Bits::portable}));
}

struct Wanted {
  Patterns y;
  Patterns dx = {};                      // not compared if empty
  std::vector<Patterns> gradients = {};  // nor these
};

void expect_bits(const OpDesc& desc, const Tensors& t, const Wanted& wanted) {
  SCOPED_TRACE(describe(desc));
  on_every_executor([&](Backend& backend) {
    const OpResult got = run_op(backend, desc, t, true);
    EXPECT_TRUE(got.faults.empty());
    EXPECT_EQ(bits_of(got.y), wanted.y);
    if (!wanted.dx.empty()) {
      EXPECT_EQ(bits_of(got.dx), wanted.dx);
    }
    for (std::size_t i = 0; i < wanted.gradients.size(); ++i)
      EXPECT_EQ(bits_of(got.gradients.at(i)), wanted.gradients[i]) << "gradient " << i;
  });
}

// One image; dy is 1, 2, 3...
Tensors image(const Values& x, std::size_t outputs, std::vector<Values> parameters = {}) {
  Tensors t;
  t.x = x;
  for (std::size_t i = 0; i < outputs; ++i) t.dy.push_back(static_cast<double>(i + 1));
  t.parameters = std::move(parameters);
  return t;
}

TEST(PortableOps, ReluKeepsTheSignOfZeroAndSubnormals) {
  // 0 times a negative number is the negative zero.
  const Tensors t = image({0.0, -0.0, kTiny, -kTiny, 1, -1}, 6);
  expect_bits(ReluDesc{{1, 1, 6}}, t,
              {.y = {0, kMinusZero, 1, kMinusZero, kOne, kMinusZero},
               .dx = {0, 0, bits_of({3})[0], 0, bits_of({5})[0], 0}});
}

TEST(PortableOps, LeakyReluRoundsSubnormals) {
  // Half of the smallest float is a tie that rounds to the even 0; half of three times it, to twice it.
  const Tensors t = image({-0.0, -kTiny, -3 * kTiny, -0x1p-126, -0x1.8p-127}, 5);
  expect_bits(LeakyReluDesc{{1, 1, 5}, 0.5F}, t,
              {.y = {kMinusZero, kMinusZero, kMinusZero | 2, 0x80400000, 0x80300000}});
}

TEST(PortableOps, GeluOfSubnormals) {
  // s(x) = 1/2 exactly.
  const Tensors t = image({0.0, -0.0, kTiny, 3 * kTiny, -3 * kTiny, 0x1p-126}, 6);
  const std::uint32_t half = 0x3F000000;
  Tensors of_ones = t;
  of_ones.dy.assign(6, 1);
  expect_bits(GeluDesc{{1, 1, 6}}, of_ones,
              {.y = {0, kMinusZero, 0, 2, kMinusZero | 2, 0x00400000}, .dx = Patterns(6, half)});
}

TEST(PortableOps, TheFirstOfEqualMaximaWinsAPool) {
  // Four windows: of zeros with both signs in both orders, of equal numbers, of subnormals.
  const Values x{0.0,  -0.0, -0.0,   0.0,   //
                 -0.0, 0.0,  0.0,    -0.0,  //
                 7,    7,    -kTiny, -2 * kTiny, /**/ 7, 7, -3 * kTiny, -kTiny};
  const Patterns y{0, kMinusZero, bits_of({7})[0], kMinusZero | 1};
  const Patterns g = bits_of({1, 2, 3, 4});
  const Patterns dx{g[0], 0, g[1], 0, 0, 0, 0, 0, g[2], 0, g[3], 0, 0, 0, 0, 0};
  expect_bits(MaxPoolDesc{{4, 4, 1}, {2, 2}}, image(x, 4), {.y = y, .dx = dx});
  // The same pool after a convolution that changes nothing, but for the sign of zero: a sum begins at +0.
  const ConvDesc conv{.in = {4, 4, 1}, .out = 1, .pad = {}, .bias = false, .pool = {2, 2}};
  expect_bits(conv, image(x, 4, {{1}}), {.y = {0, 0, y[2], y[3]}, .dx = dx});
}

TEST(PortableOps, AveragePoolOfSubnormals) {
  // The sum of the first window is 6 and that of the second 2 smallest floats; a quarter of either is a tie.
  const Values x{kTiny, 2 * kTiny, kTiny, 0, 3 * kTiny, 0, 0, kTiny};
  Tensors t = image(x, 2);
  t.dy = {6 * kTiny, -2 * kTiny};
  expect_bits(AvgPoolDesc{{2, 4, 1}, {2, 2}}, t,
              {.y = {2, 0}, .dx = {2, 2, kMinusZero, kMinusZero, 2, 2, kMinusZero, kMinusZero}});
}

TEST(PortableOps, AConvolutionsReluPassesNothingAtZero) {
  // Products that are subnormal, zero with either sign and negative.
  const ConvDesc conv{.in = {1, 4, 1}, .out = 1, .pad = {}, .relu = true, .pool = {}};
  Tensors t = image({0x1p-100, 0.0, -0.0, -1}, 4, {{0x1p-40}, {-0.0}});
  expect_bits(conv, t,
              {.y = {512, 0, 0, 0},
               .dx = bits_of({0x1p-40F, 0, 0, 0}),
               .gradients = {bits_of({0x1p-100F}), bits_of({1})}});
}

TEST(PortableOps, ADenseLayerOfSubnormals) {
  // 1.5 and 2.5 smallest floats are ties for the even neighbour; each product is rounded before the sum.
  const DenseDesc dense{.in = 2, .out = 3, .bias = false};
  const Tensors t = image({3 * kTiny, 5 * kTiny}, 3, {{0.5, 0, 0, 0.5, 0.5, -0.5}});
  expect_bits(dense, t, {.y = {2, 2, 0}, .gradients = {{3, 5, 6, 10, 9, 15}}});
}

TEST(PortableOps, BatchNormalisationOfSubnormals) {
  // Mean 3 smallest floats, squares 0, so that the factor is 1 / sqrt(epsilon) = 1024 exactly.
  const BatchNormDesc norm{.in = {1, 1, 1}, .epsilon = 0x1p-20F, .gamma = false};
  Tensors t = image({2 * kTiny, 4 * kTiny}, 2, {{-0.0}, {0}, {1}});
  t.batch = t.valid = 2;
  expect_bits(norm, t, {.y = {kMinusZero | 1024, 1024}});
}

// All finite floats of a stride, a whole number of vectors.
Values many_floats() {
  Values values;
  for (std::uint64_t bits = 0; bits < std::uint64_t{1} << 32; bits += 104729) {
    const auto x = __builtin_bit_cast(float, static_cast<std::uint32_t>(bits));
    if (std::abs(x) < 0x1p30F) values.push_back(static_cast<double>(x));
  }
  values.resize(values.size() / 16 * 16);
  return values;
}

TEST(PortableOps, ElementaryFunctionsAreTheSameInVectors) {
  Tensors t;
  t.x = many_floats();
  t.dy.assign(t.x.size(), 1);
  const Shape in{static_cast<int>(t.x.size() / 16), 1, 16};
  Patterns y;
  Patterns dx;
  for (const double x : t.x) {
    const auto value = static_cast<float>(x) + 0.0F;
    y.push_back(bits_of({portable::gelu<float, std::uint32_t>(value)})[0]);
    dx.push_back(bits_of({portable::gelu_derivative<float, std::uint32_t>(value)})[0]);
  }
  const auto expect_same = [&](const OpDesc& desc, bool training) {
    on_every_executor([&](Backend& backend) {
      const OpResult got = run_op(backend, desc, t, true);
      EXPECT_EQ(bits_of(got.y), y);
      if (training) {
        EXPECT_EQ(bits_of(got.dx), dx);
      }
    });
  };
  for (double& x : t.x) x = x + 0.0;  // no negative zero, which a normalisation would make positive
  expect_same(GeluDesc{in}, true);
  t.mode = Mode::inference;
  t.parameters = {Values(16, 0), Values(16, 0), Values(16, 1)};
  expect_same(BatchNormDesc{.in = in, .epsilon = 0, .gamma = false, .gelu = true}, false);
}

TEST(PortableOps, OfEqualLossesTheFirstRowsAreSelected) {
  // Rows 1, 2 and 4 have the label of a larger loss; two are taken.
  HeadDesc head{.in = 1, .classes = 2, .bias = false, .selection = {0.4, 0}};
  Tensors t;
  t.batch = t.valid = 5;
  t.x = Values(5, 1);
  t.labels = {0, 1, 1, 0, 1};
  t.parameters = {{1, -1}};
  on_every_executor([&](Backend& backend) {
    const OpResult got = run_op(backend, head, t, true);
    EXPECT_EQ(got.kept, (std::vector<std::uint8_t>{0, 1, 1, 0, 0}));
    for (const std::size_t row : {0U, 3U, 4U}) EXPECT_EQ(bits_of({got.dx[row]})[0], 0U) << row;
  });
}

TEST(PortableOps, OfEqualLogitsTheFirstIsTheAnswer) {
  // Logits of 0 with both signs are equal.
  HeadDesc head{.in = 1, .classes = 3, .bias = true};
  Tensors t;
  t.batch = t.valid = 3;
  t.x = Values(3, 0);
  t.labels = {0, 1, 2};
  t.parameters = {{1, -1, 1}, {-0.0, 0.0, -0.0}};
  on_every_executor([&](Backend& backend) {
    const OpResult got = run_op(backend, head, t, false);
    EXPECT_EQ(got.state.correct, kCorrectBefore + 1);
  });
}

// The weights after one step from `w` by gradients `dw`.
std::vector<float> updated(Backend& backend, const Optimizer& optimizer, const std::vector<float>& w,
                           const std::vector<float>& dw, bool matrix) {
  const std::vector<float> none(w.size() + 64);
  const DeviceArray weights(backend, w, "w");
  const DeviceArray gradients(backend, dw, "dw");
  const DeviceArray slot0(backend, none, "slot 0");
  const DeviceArray slot1(backend, none, "slot 1");
  const DeviceArray state(backend, std::vector<StepState>{StepState{}}, "state");
  const std::vector<Optimizer> optimizers{optimizer};
  const Segment all{.count = w.size()};
  const std::vector<Segment> segments(matrix ? 0 : 1, all);
  const DenseDesc dense{.in = static_cast<int>(w.size() / 2), .out = 2};
  const std::unique_ptr<Op> op = backend.prepare(dense, 1, false);
  const std::vector<WeightMatrix> matrices(matrix ? 1 : 0, {all, op.get(), 2, dense.in, 1});
  const DeviceArray workspace(backend, backend.update_workspace_bytes(matrices), "workspace");
  Schedule schedule;
  schedule.rate = 1;
  backend.update({&optimizers,
                  schedule,
                  {.images = 1, .batch = 1},
                  &segments,
                  &matrices,
                  weights.as<float>(),
                  nullptr,
                  gradients.as<float>(),
                  slot0.as<float>(),
                  slot1.as<float>(),
                  state.as<StepState>(),
                  workspace.as<std::byte>()});
  return weights.download<float>();
}

TEST(PortableUpdates, KeepSubnormalsAndTheSignOfZero) {
  const auto tiny = static_cast<float>(kTiny);
  const std::vector<float> w{0.0F, -0.0F, tiny, 3 * tiny};
  const std::vector<float> dw{tiny, 0.0F, tiny, -tiny};
  Optimizer muon;
  muon.kind = OptimizerKind::muon;
  on_every_executor([&](Backend& backend) {
    EXPECT_EQ(bits_of(updated(backend, {}, w, dw, false)), (Patterns{kMinusZero | 1, kMinusZero, 0, 4}));
    // No gradient, whose norm is 0, gives no direction.
    EXPECT_EQ(bits_of(updated(backend, muon, w, std::vector<float>(4), true)),
              (Patterns{0, kMinusZero, 1, 3}));
  });
}

TEST(PortableUpdates, AdamOfGradientsWhoseSquaresAreSubnormal) {
  // m = 2^-74 (1 - 1/2), v = 2^-148 / 2; both corrections undo the halves: the step is rate * g / (|g| + epsilon).
  Optimizer adam;
  adam.kind = OptimizerKind::adam;
  adam.beta1 = adam.beta2 = 0.5F;
  adam.epsilon = 0x1p-74F;
  on_every_executor([&](Backend& backend) {
    EXPECT_EQ(bits_of(updated(backend, adam, {0, 0, 1, -0.0F}, {0x1p-74F, 0, -0x1p-74F, 0}, false)),
              bits_of({-0.5F, 0, 1.5F, 0}));
  });
}

}  // namespace
}  // namespace trainer
