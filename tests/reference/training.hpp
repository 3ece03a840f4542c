// What surrounds the ops in a step: which images it shows, the learning rate, the optimisers. All are naive and in
// double: epochs are written out as lists, and only the settings and the permutation of one epoch come from
// kernels/math/.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/math/batching.hpp"
#include "kernels/math/optimizer.hpp"
#include "kernels/math/schedule.hpp"
#include "tests/reference/reference.hpp"

namespace trainer::reference {

// The stored images of each of the first `steps` steps under `seed`, with the number of full epochs before
// the first.
struct StepImages {
  std::vector<std::uint32_t> images;
  std::uint64_t epoch = 0;
};
std::vector<StepImages> first_steps(const Batching& batching, std::uint64_t seed, std::size_t steps);

double learning_rate(const Schedule& schedule, std::uint64_t step, std::uint64_t epoch);

// Gives each image of x, of `size` values, a mean of 0 and a deviation of 1; one of a single value becomes zeros.
void standardise(Values& x, std::size_t size);

// Scales all gradients together so that their Euclidean norm is at most `limit`.
void clip(Values& dw, double limit);

// Parameters and the optimiser's state for them, all of one length; slots that it does not use stay unchanged.
struct Learner {
  Values w;
  Values slot0;
  Values slot1;
};

// One step on all segments: dw is the gradient of the mean loss.
void update(const Optimizer& optimizer, const Schedule& schedule, const std::vector<Segment>& segments,
            std::uint64_t step, std::uint64_t epoch, const Values& dw, Learner& learner);

// One step of Muon on a matrix, row by row.
struct Matrix {
  int rows = 0;
  int columns = 0;
  double rate_factor = 1;
  double decay = 0;
};
void update_matrix(const Optimizer& optimizer, const Schedule& schedule, const Matrix& matrix,
                   std::uint64_t step, std::uint64_t epoch, const Values& dw, Learner& learner);

// Returns u [rows, columns] after `iterations` Newton-Schulz iterations.
Values newton_schulz(Values u, int rows, int columns, int iterations);

}  // namespace trainer::reference
