// The update of a weight that is taken as a matrix: Muon (kernels/math/muon.hpp).
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/cpu/runtime/context.hpp"

namespace trainer::cpu {

// Scratch of update_matrix() for the largest of `matrices`.
std::size_t muon_workspace_bytes(const std::vector<WeightMatrix>& matrices);

void update_matrix(const CpuContext& context, const UpdateArgs& args, const Optimizer& optimizer,
                   const UpdateStep& step, const WeightMatrix& matrix);

}  // namespace trainer::cpu
