// Loops in which every element is independent: gathering, ReLU, dropout and the optimisers. They are written so
// that the compiler vectorises them at the width that this copy is compiled for.
#include <utility>

#include "kernels/backend.hpp"
#include "kernels/cpu/loops/loops.hpp"
#include "kernels/cpu/loops/vectors.hpp"
#include "kernels/math/gelu.hpp"
#include "kernels/math/muon.hpp"
#include "kernels/math/philox.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// The next image can be anywhere in the data set: it is prefetched while the current one is read.
HOST_DEVICE void fetch_ahead(const std::uint8_t* image, std::size_t bytes) {
  constexpr std::size_t kLine = 64;
  for (std::size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(image + at);
}

}  // namespace

void gather(const GatherArgs& args, std::size_t begin, std::size_t end) {
  const auto channels = static_cast<std::size_t>(args.shape.c);
  const std::size_t stride = static_cast<std::size_t>(args.stored.w) * channels;
  const std::size_t corner = static_cast<std::size_t>(args.top) * stride + args.left * channels;
  const bool whole = args.shape == args.stored;  // one long line
  const std::size_t lines = whole ? 1 : static_cast<std::size_t>(args.shape.h);
  const std::size_t length = args.shape.size() / lines;
  const std::size_t bytes = args.stored.size();
  const StepState state = *args.state;
  const auto image_at = [&](std::size_t row) {
    return image_of(args.batching, state.seed, state.step, static_cast<std::uint32_t>(row));
  };
  for (std::size_t row = begin; row < end; ++row) {
    float* __restrict x = static_cast<float*>(args.x) + row * args.shape.size();
    if (row >= state.valid) {
      for (std::size_t i = 0; i < args.shape.size(); ++i) x[i] = 0;
      args.labels[row] = 0;
      continue;
    }
    const std::size_t image = image_at(row);
    if (row + 1 < state.valid && row + 1 < end) fetch_ahead(args.images + bytes * image_at(row + 1), bytes);
    const std::uint8_t* __restrict pixels = args.images + bytes * image + corner;
    for (std::size_t line = 0; line < lines; ++line, x += length, pixels += stride) {
      for (std::size_t i = 0; i < length; ++i) x[i] = static_cast<float>(pixels[i]) * args.scale + args.shift;
    }
    args.labels[row] = args.stored_labels[image];
  }
}

void relu(const float* x, float* y, std::size_t begin, std::size_t end) {
#pragma GCC ivdep                                                        // x may be y, element by element
  for (std::size_t i = begin; i < end; ++i) y[i] = x[i] < 0 ? 0 : x[i];  // a NaN stays a NaN
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

// The Philox counters drawn at a time: two vectors with one counter in each 64-bit lane, which has room for a
// product of two 32-bit words.
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

// Evaluates philox4x32 for kLanes * kVectors counters from `first` on; words come in the order of their elements.
HOST_DEVICE void draw(const DropoutDesc& desc, const StepState& state, std::uint32_t first,
                      std::uint32_t* __restrict words) {
  constexpr std::uint64_t kLow = 0xFFFFFFFFU;
  Lanes ahead{};  // 0 1 2 ...
  for (int j = 0; j < kLanes; ++j) ahead[j] = static_cast<std::uint64_t>(j);
  Lanes c0[kVectors], c1[kVectors], c2[kVectors], c3[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    c0[v] = (ahead + (std::uint64_t{first} + v * kLanes)) & kLow;
    c1[v] = Lanes{} + (state.step & kLow);
    c2[v] = Lanes{} + (state.step >> 32);
    c3[v] = Lanes{} + std::uint64_t{desc.stream};
  }
  auto key0 = static_cast<std::uint32_t>(state.seed);
  auto key1 = static_cast<std::uint32_t>(state.seed >> 32);
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
  // The words of a counter are consecutive: two words per 64-bit lane.
  for (int v = 0; v < kVectors; ++v) {
    store_in_turn(c0[v] | c1[v] << 32, c2[v] | c3[v] << 32, words + 4 * v * kLanes,
                  std::make_integer_sequence<int, kLanes>());
  }
}

}  // namespace

void dropout(const DropoutDesc& desc, const StepState& state, const float* __restrict x, float* __restrict y,
             std::uint8_t* __restrict kept, std::size_t begin, std::size_t end) {
  const float drop = desc.drop;
  const float scale = 1 / (1 - drop);
  std::uint32_t words[kWords];
  for (std::size_t at = begin; at < end; at += kWords) {
    draw(desc, state, static_cast<std::uint32_t>(at / 4), words);
    const auto choose = [&](std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) {
        const bool keep = unit_float(words[i]) >= drop;
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

void muon_direction(float momentum, const float* __restrict dw, float* __restrict v, float* __restrict u,
                    std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) u[i] = trainer::muon_direction(momentum, dw[i], v[i]);
}

void update(const UpdateArgs& args, const Segment& segment, const Optimizer& optimizer,
            const UpdateStep& step, std::size_t begin, std::size_t end) {
  const std::size_t at = segment.offset + begin;
  const std::size_t count = end - begin;
  const float* __restrict dw = args.dw + at;
  float* __restrict w = args.w + at;
  float* __restrict slot0 = args.slot0 == nullptr ? nullptr : args.slot0 + at;
  float* __restrict slot1 = args.slot1 == nullptr ? nullptr : args.slot1 + at;
  const Optimizer o = optimizer;  // copies, so that the compiler knows that no store changes them
  const UpdateStep u = step;
  const float rate = u.rate * segment.rate_factor;
  const float decay = segment.decay;
  const bool decoupled = o.kind == OptimizerKind::adamw;
  const float l2 = decoupled ? 0 : decay;
  const float shrink = decoupled ? decay : 0;
  switch (o.kind) {
    case OptimizerKind::sgd:
      if (slot0 == nullptr) {
        for (std::size_t i = 0; i < count; ++i) {
          float none = 0;
          sgd_update(u, false, rate, decay, dw[i], w[i], none);
        }
      } else {
        for (std::size_t i = 0; i < count; ++i) sgd_update(u, o.nesterov, rate, decay, dw[i], w[i], slot0[i]);
      }
      return;
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      for (std::size_t i = 0; i < count; ++i)
        adam_update(o, u, rate, l2, shrink, dw[i], w[i], slot0[i], slot1[i]);
      return;
    case OptimizerKind::adadelta:
      for (std::size_t i = 0; i < count; ++i)
        adadelta_update(o, rate, decay, dw[i], w[i], slot0[i], slot1[i]);
      return;
    case OptimizerKind::muon:
      return;  // takes matrices
  }
}

}  // namespace trainer::cpu::TRAINER_LOOPS
