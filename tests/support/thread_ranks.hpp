// Ranks that are threads of one process, for tests of what ranks exchange.
#pragma once

#include <functional>

#include "kernels/communicator.hpp"

namespace trainer {

// Calls `body` once for each rank, on a thread of its own, and returns when all have ended. A rank that waits for one whose body
// has ended or thrown gets RankLost. Rethrows the first exception. Calls whose borders differ throw std::logic_error.
void run_ranks(int size, const std::function<void(Communicator&)>& body);

}  // namespace trainer
