// The arguments, saved statistics and scratch of kernels that contain a batch normalisation; norm_sums.cuh is the
// device's side.
#pragma once

#include "kernels/op.hpp"

namespace trainer::cuda {

// The bytes of partial sums: two for each channel and block.
constexpr std::size_t slice_sums_bytes(unsigned blocks, unsigned width) {
  return 2 * sizeof(double) * blocks * width;
}

// What training keeps of a batch's statistics.
struct BatchStatistics {
  float epsilon = 0;
  float momentum = 0;
  float* running_mean = nullptr;
  float* running_variance = nullptr;
  float* mean = nullptr;   // [c]
  float* scale = nullptr;  // [c], 1 / sqrt(var + epsilon)
};

constexpr std::size_t kept_statistics_bytes(int channels) {
  return 2 * sizeof(float) * static_cast<std::size_t>(channels);
}

// `kept`: kept_statistics_bytes(), null in inference.
inline BatchStatistics batch_statistics(const BatchNormDesc& desc, const OpArgs& args, std::byte* kept) {
  auto* mean = reinterpret_cast<float*>(kept);
  return {desc.epsilon,          desc.momentum, args.running_mean,
          args.running_variance, mean,          mean == nullptr ? nullptr : mean + desc.in.c};
}

}  // namespace trainer::cuda
