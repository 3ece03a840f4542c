// The portable engine's ops and steps, for any executor: which kernels run in which order, on which memory. Parameters keep their
// canonical layout, maps are fp32. The executor must outlive what is made with it, and every buffer must have kMostLanes floats to
// spare at its end.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/backend.hpp"

namespace trainer::portable {

class Executor;

// Throws BackendError for a NormalisedDesc, which the engine does not fuse, and for windows whose argmax does not fit a byte.
std::unique_ptr<Op> make_op(Executor& executor, const OpDesc& desc, int batch);
void gather(Executor& executor, const GatherArgs& args);
// `now` [kMostOptimizers] is scratch memory of the device.
void update(Executor& executor, const UpdateArgs& args, UpdateStep* now);
std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices);

}  // namespace trainer::portable
