// From GPU to GPU.
#pragma once

#include <optional>

namespace trainer {

// Bytes a second from the memory of one GPU of all_gpus() to another's, the best of some copies; nothing
// where there are no two such. Throws BackendError where a copy fails.
std::optional<double> peer_bytes_per_second(int from, int to);

}  // namespace trainer
