// Loops in which every element stands alone: gathering, ReLU, dropout and the optimisers. They are written so
// that the compiler turns them into vectors of whatever width this copy is compiled for.
#include <utility>

#include "kernels/cpu/loops/loops.hpp"
#include "kernels/cpu/loops/vectors.hpp"
#include "kernels/math/gelu.hpp"
#include "kernels/math/muon.hpp"
#include "kernels/math/philox.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// The next image lies anywhere in the data set: its lines are asked for while this one is read.
HOST_DEVICE void fetch_ahead(const GatherLoop& loop, std::uint32_t row) {
  constexpr std::size_t kLine = 64;
  const std::size_t bytes = loop.stored.size();
  const std::uint8_t* image = loop.images + bytes * image_of(loop.batching, loop.seed, loop.step, row);
  for (std::size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(image + at);
}

}  // namespace

void gather(const GatherLoop& loop, std::size_t begin, std::size_t end) {
  const auto channels = static_cast<std::size_t>(loop.shape.c);
  const std::size_t stride = static_cast<std::size_t>(loop.stored.w) * channels;
  const std::size_t corner = static_cast<std::size_t>(loop.top) * stride + loop.left * channels;
  const bool whole = loop.shape == loop.stored;  // one long line
  const std::size_t lines = whole ? 1 : static_cast<std::size_t>(loop.shape.h);
  const std::size_t length = loop.shape.size() / lines;
  for (std::size_t row = begin; row < end; ++row) {
    float* __restrict x = loop.x + row * loop.shape.size();
    if (row >= loop.valid) {
      for (std::size_t i = 0; i < loop.shape.size(); ++i) x[i] = 0;
      loop.labels[row] = 0;
      continue;
    }
    const std::size_t image = image_of(loop.batching, loop.seed, loop.step, static_cast<std::uint32_t>(row));
    if (row + 1 < loop.valid && row + 1 < end) fetch_ahead(loop, static_cast<std::uint32_t>(row + 1));
    const std::uint8_t* __restrict pixels = loop.images + image * loop.stored.size() + corner;
    for (std::size_t line = 0; line < lines; ++line, x += length, pixels += stride) {
      for (std::size_t i = 0; i < length; ++i) x[i] = static_cast<float>(pixels[i]) * loop.scale + loop.shift;
    }
    loop.labels[row] = loop.stored_labels[image];
  }
}

void relu(const float* x, float* y, std::size_t begin, std::size_t end) {
#pragma GCC ivdep                                                        // x may be y, element by element
  for (std::size_t i = begin; i < end; ++i) y[i] = x[i] < 0 ? 0 : x[i];  // a NaN stays one
}

void relu_backward(const float* __restrict y, const float* __restrict dy, float* __restrict dx,
                   std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) dx[i] = y[i] > 0 ? dy[i] : 0;
}

void gelu(const float* __restrict x, float* __restrict y, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) y[i] = trainer::gelu(x[i]);
}

void gelu_backward(const float* __restrict x, const float* __restrict dy, float* __restrict dx,
                   std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) dx[i] = dy[i] * gelu_derivative(x[i]);
}

void leaky_relu(float slope, const float* __restrict x, float* __restrict y, std::size_t begin,
                std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) y[i] = x[i] > 0 ? x[i] : slope * x[i];
}

void leaky_relu_backward(float slope, const float* __restrict x, const float* __restrict dy,
                         float* __restrict dx, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) dx[i] = x[i] > 0 ? dy[i] : slope * dy[i];
}

void add(const float* __restrict x, float* __restrict sum, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) sum[i] += x[i];
}

namespace {

// Philox counters drawn side by side: two vectors with a counter in each lane of 64 bits, where a product of
// 32 bits by 32 has its place.
constexpr int kLanes = TRAINER_LOOPS_LANES / 2;
constexpr int kVectors = 2;
constexpr int kWords = 4 * kLanes * kVectors;
typedef std::uint64_t Lanes __attribute__((vector_size(8 * kLanes)));

// a0 b0 a1 b1 ...
template <int... j>
HOST_DEVICE void store_in_turn(Lanes a, Lanes b, std::uint32_t* words,
                               std::integer_sequence<int, j...> /*lanes*/) {
  store(words, __builtin_shufflevector(a, b, (j / 2 + j % 2 * kLanes)...));
  store(words + 2 * kLanes, __builtin_shufflevector(a, b, (kLanes / 2 + j / 2 + j % 2 * kLanes)...));
}

// philox4x32 of as many counters, from `first` on, in the order of the elements that they belong to.
HOST_DEVICE void draw(const DropoutLoop& loop, std::uint32_t first, std::uint32_t* __restrict words) {
  constexpr std::uint64_t kLow = 0xFFFFFFFFU;
  Lanes ahead{};  // 0 1 2 ...
  for (int j = 0; j < kLanes; ++j) ahead[j] = static_cast<std::uint64_t>(j);
  Lanes c0[kVectors], c1[kVectors], c2[kVectors], c3[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    c0[v] = (ahead + (std::uint64_t{first} + v * kLanes)) & kLow;
    c1[v] = Lanes{} + (loop.step & kLow);
    c2[v] = Lanes{} + (loop.step >> 32);
    c3[v] = Lanes{} + std::uint64_t{loop.stream};
  }
  auto key0 = static_cast<std::uint32_t>(loop.seed);
  auto key1 = static_cast<std::uint32_t>(loop.seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    for (int v = 0; v < kVectors; ++v) {
      const Lanes p0 = kPhiloxFactor0 * c0[v];
      const Lanes p1 = kPhiloxFactor1 * c2[v];
      c0[v] = p1 >> 32 ^ c1[v] ^ std::uint64_t{key0};
      c2[v] = p0 >> 32 ^ c3[v] ^ std::uint64_t{key1};
      c1[v] = p1 & kLow;
      c3[v] = p0 & kLow;
    }
    key0 += kPhiloxKeyStep0;
    key1 += kPhiloxKeyStep1;
  }
  // A counter's words lie one behind the other: two words to a lane of 64 bits.
  for (int v = 0; v < kVectors; ++v) {
    store_in_turn(c0[v] | c1[v] << 32, c2[v] | c3[v] << 32, words + 4 * v * kLanes,
                  std::make_integer_sequence<int, kLanes>());
  }
}

}  // namespace

void dropout(const DropoutLoop& loop, const float* __restrict x, float* __restrict y,
             std::uint8_t* __restrict kept, std::size_t begin, std::size_t end) {
  const float scale = 1 / (1 - loop.drop);
  std::uint32_t words[kWords];
  for (std::size_t at = begin; at < end; at += kWords) {
    draw(loop, static_cast<std::uint32_t>(at / 4), words);
    const auto choose = [&](std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) {
        const bool keep = unit_float(words[i]) >= loop.drop;
        kept[at + i] = keep ? 1 : 0;
        y[at + i] = keep ? x[at + i] * scale : 0;
      }
    };
    if (end - at >= kWords) {
      choose(kWords);
    } else {
      choose(end - at);
    }
  }
}

void dropout_backward(float drop, const std::uint8_t* __restrict kept, const float* __restrict dy,
                      float* __restrict dx, std::size_t begin, std::size_t end) {
  const float scale = 1 / (1 - drop);
  for (std::size_t i = begin; i < end; ++i) dx[i] = kept[i] != 0 ? dy[i] * scale : 0;
}

namespace {

void update_sgd(const UpdateLoop& loop, std::size_t begin, std::size_t end) {
  const float* __restrict dw = loop.dw;
  float* __restrict w = loop.w;
  float* __restrict v = loop.slot0;
  const UpdateStep step = loop.step;
  const float rate = step.rate * loop.rate_factor;
  if (v == nullptr) {
    for (std::size_t i = begin; i < end; ++i) {
      float none = 0;
      sgd_update(step, false, rate, loop.decay, dw[i], w[i], none);
    }
    return;
  }
  for (std::size_t i = begin; i < end; ++i) {
    sgd_update(step, loop.optimizer.nesterov, rate, loop.decay, dw[i], w[i], v[i]);
  }
}

void update_adam(const UpdateLoop& loop, std::size_t begin, std::size_t end) {
  const float* __restrict dw = loop.dw;
  float* __restrict w = loop.w;
  float* __restrict m = loop.slot0;
  float* __restrict v = loop.slot1;
  const UpdateStep step = loop.step;
  const Optimizer optimizer = loop.optimizer;
  const bool decoupled = optimizer.kind == OptimizerKind::adamw;
  const float l2 = decoupled ? 0 : loop.decay;
  const float shrink = decoupled ? loop.decay : 0;
  const float rate = step.rate * loop.rate_factor;
  for (std::size_t i = begin; i < end; ++i) {
    adam_update(optimizer, step, rate, l2, shrink, dw[i], w[i], m[i], v[i]);
  }
}

void update_adadelta(const UpdateLoop& loop, std::size_t begin, std::size_t end) {
  const float* __restrict dw = loop.dw;
  float* __restrict w = loop.w;
  float* __restrict a = loop.slot0;
  float* __restrict e = loop.slot1;
  const Optimizer optimizer = loop.optimizer;
  const float rate = loop.step.rate * loop.rate_factor;
  for (std::size_t i = begin; i < end; ++i)
    adadelta_update(optimizer, rate, loop.decay, dw[i], w[i], a[i], e[i]);
}

}  // namespace

void muon_direction(float momentum, const float* __restrict dw, float* __restrict v, float* __restrict u,
                    std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) u[i] = trainer::muon_direction(momentum, dw[i], v[i]);
}

void update(const UpdateLoop& loop, std::size_t begin, std::size_t end) {
  switch (loop.optimizer.kind) {
    case OptimizerKind::sgd:
      return update_sgd(loop, begin, end);
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return update_adam(loop, begin, end);
    case OptimizerKind::adadelta:
      return update_adadelta(loop, begin, end);
    case OptimizerKind::muon:
      return;  // takes matrices
  }
}

}  // namespace trainer::cpu::TRAINER_LOOPS
