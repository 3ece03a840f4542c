// A map that the backend stores in bf16: both ops round as they would have rounded for their products, so that forward
// gives the same bits as with the map in fp32, and the gradients are the same after rounding.
#include <algorithm>
#include <bit>
#include <cmath>
#include <gtest/gtest.h>

#include "tests/kernels/device_array.hpp"
#include "tests/support/backends.hpp"

namespace trainer {
namespace {

using Bits = std::vector<std::uint16_t>;
using Floats = std::vector<float>;

constexpr int kBatch = 5;

// Values around 0 with a long period, a third of them 0.
Floats sample(std::size_t count, unsigned seed) {
  Floats values(count);
  std::uint32_t state = seed;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = state >> 30U == 0 ? 0 : static_cast<float>(state >> 8U) / (1U << 23U) - 1;
  }
  return values;
}

std::uint16_t to_bf16(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((word + 0x7FFFU + (word >> 16U & 1U)) >> 16U);  // ties to even
}
Bits to_bf16(const Floats& values) {
  Bits bits(values.size());
  std::transform(values.begin(), values.end(), bits.begin(), [](float value) { return to_bf16(value); });
  return bits;
}
Floats widen(const Bits& bits) {
  Floats values(bits.size());
  std::transform(bits.begin(), bits.end(), values.begin(),
                 [](std::uint16_t word) { return std::bit_cast<float>(std::uint32_t{word} << 16U); });
  return values;
}

// Forward and backward of one convolution; X and Y are the types of its maps' elements.
template <typename X, typename Y>
struct Results {
  std::vector<Y> y;
  std::vector<X> dx;
  Floats dw, db;
};

template <typename X, typename Y>
Results<X, Y> run(Backend& backend, const ConvDesc& desc, const std::vector<X>& x, const std::vector<Y>& dy,
                  bool wants_dx, const std::vector<std::uint8_t>& kept = {}) {
  const auto op = backend.prepare(desc, kBatch, wants_dx);
  Floats w(op->stored_count(0), 0.0F);
  op->store(0, sample(parameters(desc)[0].count(), 3).data(), w.data());
  const DeviceArray x_in(backend, x, "x"), dy_in(backend, dy, "dy"), w_in(backend, w, "w");
  const DeviceArray b_in(backend, sample(static_cast<std::size_t>(desc.out), 4), "b");
  const DeviceArray y(backend, dy.size() * sizeof(Y), "y");
  const DeviceArray dx(backend, wants_dx ? x.size() * sizeof(X) : 0, "dx");
  const DeviceArray dw(backend, w.size() * sizeof(float), "dw"), db(backend, b_in.bytes(), "db");
  const DeviceArray saved(backend, op->saved_bytes(), "saved");
  const DeviceArray workspace(backend, op->workspace_bytes(), "workspace");
  const DeviceArray state(backend, std::vector<StepState>(1), "state"), kept_in(backend, kept, "kept");
  OpArgs args;
  args.x = x_in.as<void>();
  args.y = y.as<void>();
  args.dy = dy_in.as<void>();
  args.dx = dx.as<void>();
  args.w = w_in.as<float>();
  args.b = b_in.as<float>();
  args.dw = dw.as<float>();
  args.db = db.as<float>();
  args.saved = saved.as<std::byte>();
  args.workspace = workspace.as<std::byte>();
  args.state = state.as<StepState>();
  args.selected = kept.empty() ? nullptr : kept_in.as<std::uint8_t>();
  op->forward(args);
  op->backward(args);
  for (const DeviceArray* array : {&y, &dx, &dw, &db, &saved, &workspace}) EXPECT_TRUE(array->guards_whole());
  Results<X, Y> results{y.download<Y>(), dx.download<X>(), Floats(parameters(desc)[0].count()),
                        db.download<float>()};
  op->fetch(0, dw.download<float>().data(), results.dw.data());
  return results;
}

ConvDesc with_bf16(ConvDesc desc, bool x, bool y) {
  desc.x_map.bf16 = desc.x_map.masked = x;
  desc.y_map.bf16 = desc.y_map.masked = y;
  return desc;
}

const ConvDesc kFirst{.in = {11, 12, 1}, .out = 32, .kernel = 3, .pad = {}, .relu = true, .pool = {}};
const ConvDesc kBehind{.in = {9, 10, 32}, .out = 21, .kernel = 3, .pad = {}, .relu = true, .pool = {2, 2}};

class Bf16Map : public OnBackend {
 protected:
  void SetUp() override {
    if (!cpu_has(Precision::bf16)) GTEST_SKIP() << "this processor has no products of bf16";
    start(BackendKind::cpu_bf16);
  }
};

TEST_F(Bf16Map, IsWrittenRoundedAndItsGradientRead) {
  for (const int rows : {11, 7, 3}) {
    ConvDesc desc = kFirst;
    desc.in.h = rows;
    const Floats x = sample(kBatch * desc.in.size(), 1);
    const Bits dy = to_bf16(sample(kBatch * out_shape(desc).size(), 2));
    const auto got = run(backend(), with_bf16(desc, false, true), x, dy, false);
    // The layer after it has already masked its gradient.
    ConvDesc plain = desc;
    const auto wide = run(backend(), plain, x, widen(dy), false);
    EXPECT_EQ(got.y, to_bf16(wide.y));
    plain.relu = false;
    const auto unmasked = run(backend(), plain, x, widen(dy), false);
    EXPECT_EQ(got.dw, unmasked.dw);
    EXPECT_EQ(got.db, unmasked.db);
  }
}

TEST_F(Bf16Map, IsReadAndItsGradientMaskedAndRounded) {
  for (const int channels : {32, 64}) {
    for (const int kernel : {3, 2, 5}) {
      ConvDesc desc = kBehind;
      desc.in.c = channels;
      desc.kernel = kernel;
      Floats x = sample(kBatch * desc.in.size(), 1);
      std::transform(x.begin(), x.end(), x.begin(), [](float value) { return std::max(value, 0.0F); });
      x[1] = NAN;
      x[2] = INFINITY;
      const Bits bf16_x = to_bf16(x);
      const Floats dy = sample(kBatch * out_shape(desc).size(), 2);
      const auto got = run(backend(), with_bf16(desc, true, false), bf16_x, dy, true);
      const auto wide = run(backend(), desc, x, dy, true);
      EXPECT_EQ(to_bf16(got.y), to_bf16(wide.y));
      EXPECT_EQ(to_bf16(got.dw), to_bf16(wide.dw));
      EXPECT_EQ(got.db, wide.db);
      Floats masked = wide.dx;
      for (std::size_t i = 0; i < x.size(); ++i) masked[i] = x[i] > 0 ? masked[i] : 0;
      EXPECT_EQ(got.dx, to_bf16(masked));
    }
  }
}

// Images that are not selected have a dy of zero and get a dx of zeros.
TEST_F(Bf16Map, HasNoGradientForImagesThatAreNotKept) {
  const std::vector<std::uint8_t> kept{0, 1, 0, 0, 1};
  const auto clear_rest = [&](auto values) {
    const std::size_t row = values.size() / kBatch;
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = kept[i / row] != 0 ? values[i] : 0;
    return values;
  };
  const Bits x = to_bf16(sample(kBatch * kBehind.in.size(), 1));
  const Floats dy = clear_rest(sample(kBatch * out_shape(kBehind).size(), 2));
  const ConvDesc desc = with_bf16(kBehind, true, false);
  const auto got = run(backend(), desc, x, dy, true, kept);
  const auto all = run(backend(), desc, x, dy, true);
  EXPECT_EQ(got.dx, clear_rest(all.dx));
  EXPECT_EQ(got.db, all.db);
}

TEST_F(Bf16Map, LiesBetweenAGreyConvolutionAndAPooledOne) {
  EXPECT_TRUE(backend().keeps_map_in_bf16(kFirst, false, kBehind));
  EXPECT_FALSE(backend().keeps_map_in_bf16(kFirst, true, kBehind));
  EXPECT_FALSE(make_backend(BackendKind::cpu)->keeps_map_in_bf16(kFirst, false, kBehind));
  const auto refuses = [&](const OpDesc& desc, const OpDesc& next) {
    EXPECT_FALSE(backend().keeps_map_in_bf16(desc, false, next)) << describe(desc) << ", " << describe(next);
  };
  ConvDesc other = kFirst;
  other.relu = false;
  refuses(other, kBehind);
  other = kFirst;
  other.out = 24;
  refuses(other, kBehind);
  other = kFirst;
  other.pool = {2, 2};
  refuses(other, kBehind);
  other = kBehind;
  other.pool = {};
  refuses(kFirst, other);
  other = kBehind;
  other.pad = {1, 1, 1, 1};
  refuses(kFirst, other);
  refuses(kFirst, ReluDesc{kBehind.in});
  refuses(ReluDesc{kFirst.in}, kBehind);
}

}  // namespace
}  // namespace trainer
