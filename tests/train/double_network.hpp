// The network of a plan in double, its parameters as a real one has them: what a whole training is held
// against.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "tests/reference/training.hpp"
#include "trainer/train/setup.hpp"

namespace trainer::test {

class DoubleNetwork {
 public:
  DoubleNetwork(const Setup& setup, const Network& network);

  // Trains on these stored images; gives the mean loss before the update.
  double step(const reference::StepImages& images, std::uint64_t step);

  // Puts weights, statistics and the optimisers' state, rounded to single precision, into `network`, and goes
  // on from what it put there.
  void hand_over(Network& network);

 private:
  reference::Values gathered(const std::vector<std::uint32_t>& images) const;
  void learn(std::size_t op, const reference::Tensors& t, std::uint64_t epoch, std::uint64_t step);
  reference::Values& values_of(const NetworkTensor& tensor);

  const Setup& setup_;
  Plan plan_;  // as the network runs it
  std::vector<std::vector<reference::Learner>> learners_;
};

}  // namespace trainer::test
