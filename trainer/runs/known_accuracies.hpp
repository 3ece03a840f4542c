// What networks reach on the shipped MNIST with their own recipes, over seeds. Written by benchmarks/tables.py from
// benchmarks/records.
#pragma once

#include <string_view>

namespace trainer {

struct KnownAccuracy {
  std::string_view network;
  int epochs;  // 0: a recipe that counts steps
  std::string_view precision;
  int seeds;
  double mean, deviation;  // per cent; the deviation is that of single seeds
};

inline constexpr std::string_view kMnistFingerprint = "crc32:e9f4d8b3-e0cb4ad2-91373bdf-4ab9eff9";

inline constexpr KnownAccuracy kKnownAccuracies[] = {
    // clang-format off
    {"accurate", 12, "bf16", 10, 99.7030, 0.0106},
    {"accurate-small", 16, "fp32", 10, 99.6440, 0.0353},
    {"cntk-sample", 10, "fp32", 3, 98.2000, 0.0458},
    {"lenet", 11, "fp32", 3, 99.1400, 0.0520},
    {"quick", 1, "bf16", 30, 99.0267, 0.0712},
    {"quick", 1, "fp32", 30, 99.0363, 0.0740},
    {"quick", 2, "bf16", 10, 99.2150, 0.0645},
    {"quick", 2, "fp32", 10, 99.2330, 0.0395},
    {"sprint", 0, "fp32", 30, 99.0540, 0.0595},
    {"sprint-lean", 0, "fp32", 30, 99.0543, 0.0753},
    // clang-format on
};

}  // namespace trainer
