// The program beside a played GPU.
#pragma once

#include <sstream>

#include "tests/support/program.hpp"

namespace trainer::test {

// The small data set makes 13 launches of a step an epoch and 7 of an evaluation.
class GpuProgram : public ProgramTest {
 protected:
  // The environment of a child that sees the played device.
  static Words with_gpu(const Words& more = {}) {
    Words all{"CUDA_VISIBLE_DEVICES=0"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  Outcome on_gpu(const Words& arguments, const Words& environment = {}) const {
    return trainer(arguments, with_gpu(environment));
  }

  // Trains into `run` on the GPU; fails the test where that fails.
  void train(const std::string& run, const Words& more = {}) {
    Words words = small_training(more);
    words.insert(words.end(), {"--out", run});
    const Outcome outcome = on_gpu(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
  }

  double accuracy(const std::string& run, const std::string& device) const {
    const Outcome outcome = on_gpu({"eval", run, "--data", "data", "--device", device, "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out)["accuracy"];
  }
};

inline std::size_t lines_with(const std::string& text, const std::string& part) {
  std::istringstream lines(text);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line);) count += contains(line, part) ? 1 : 0;
  return count;
}

}  // namespace trainer::test
