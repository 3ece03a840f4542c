// trainer doctor --all from options to exit status: which devices there are, the test, the table.
#pragma once

#include <string>

#include "trainer/environment.hpp"

namespace trainer::doctor {

struct AllOptions {
  std::string device = "auto";  // every GPU; or cpu: two trainings side by side on the processor
  std::string model = "quick";
  std::string data;  // empty: TRAINER_DATA or the shipped MNIST
  std::uint64_t seed = 1;
  double minutes = 1;
  bool json = false;
};

// 0 where nothing stands out, 1 where something does, 128 + signal, or the class of why there is no GPU.
// Throws UsageError.
int test_all(const Environment& environment, const AllOptions& options);

}  // namespace trainer::doctor
