// trainer doctor --all from options to outcome: which devices there are, the test, the table.
#pragma once

#include <string>

#include "trainer/store/environment.hpp"

namespace trainer::doctor {

struct AllOptions {
  std::string device = "auto";  // every GPU; or cpu: two trainings side by side on the processor
  std::string model = "quick";
  std::string data;  // empty: TRAINER_DATA or the shipped MNIST
  std::uint64_t seed = 1;
  double minutes = 1;
  bool json = false;
};

struct AllOutcome {
  std::string text;  // for standard output, its lines ended
  int status = 0;    // 1 where something stands out, 128 + signal, or the class of why there is no GPU
};

// Progress goes to standard error. Throws UsageError.
AllOutcome test_all(const Environment& environment, const AllOptions& options);

}  // namespace trainer::doctor
