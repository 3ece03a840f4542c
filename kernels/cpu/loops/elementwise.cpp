// Loops in which every element is independent: ReLU, dropout and the optimisers. They are written so
// that the compiler vectorises them at the width that this copy is compiled for.
#include "kernels/backend.hpp"
#include "kernels/cpu/loops/loops.hpp"
#include "kernels/math/gelu.hpp"
#include "kernels/math/muon.hpp"
#include "kernels/math/philox.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

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

void add_skip(const float* __restrict x, const float* __restrict skip, float* __restrict y, std::size_t begin,
              std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) y[i] = x[i] + skip[i];
}

namespace {

constexpr int kCounters = TRAINER_LOOPS_LANES;  // Philox counters drawn at a time
constexpr int kWords = 4 * kCounters;

// Evaluates philox4x32 for kCounters counters from `first` on; words come in the order of their elements.
HOST_DEVICE void draw(const DropoutDesc& desc, const StepState& state, std::uint32_t first,
                      std::uint32_t* __restrict words) {
  std::uint32_t c[4][kCounters];
  for (int j = 0; j < kCounters; ++j) {
    c[0][j] = first + static_cast<std::uint32_t>(j);
    c[1][j] = static_cast<std::uint32_t>(state.step);
    c[2][j] = static_cast<std::uint32_t>(state.step >> 32);
    c[3][j] = desc.stream;
  }
  auto key0 = static_cast<std::uint32_t>(state.seed);
  auto key1 = static_cast<std::uint32_t>(state.seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    for (int j = 0; j < kCounters; ++j) philox_round(c[0][j], c[1][j], c[2][j], c[3][j], key0, key1);
    key0 += kPhiloxKeyStep0;
    key1 += kPhiloxKeyStep1;
  }
  for (int j = 0; j < kCounters; ++j) {
    for (int k = 0; k < 4; ++k) words[4 * j + k] = c[k][j];
  }
}

}  // namespace

void dropout(const DropoutDesc& desc, const StepState& state, const float* __restrict x, float* __restrict y,
             std::uint8_t* __restrict kept, std::size_t begin, std::size_t end) {
  const float drop = desc.drop;
  const float scale = 1 / (1 - drop);
  const std::size_t before = state.first_row * desc.in.size();  // elements of other ranks
  std::uint32_t words[kWords];
  for (std::size_t at = begin; at < end;) {
    const std::size_t drawn = (before + at) % 4;  // words of the first block that are other elements'
    draw(desc, state, static_cast<std::uint32_t>((before + at) / 4), words);
    const auto choose = [&](std::size_t skip, std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) {
        const bool keep = unit_float(words[skip + i]) >= drop;
        kept[at + i] = keep ? 1 : 0;
        y[at + i] = keep ? x[at + i] * scale : 0;
      }
      at += count;
    };
    if (drawn == 0 && end - at >= kWords) {
      choose(0, kWords);
    } else {
      choose(drawn, end - at < kWords - drawn ? end - at : kWords - drawn);
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

void average(const AverageArgs& args, std::size_t begin, std::size_t end) {
  const float d = args.step_decay();
  for (std::size_t i = begin; i < end; ++i)
    args.averages[i] = moved_average(d, args.averages[i], args.values[i]);
}

}  // namespace trainer::cpu::TRAINER_LOOPS
