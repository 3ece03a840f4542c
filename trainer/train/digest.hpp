// The digest of a network: SHA-256 of its values alone, each as the four bytes of its fp32 form from the lowest on, in the order of
// Network::tensors(). With portable bits (kernels/portable/) every machine that trains the same recipe on the same data must
// meet it. The content hash that guards a file of weights (trainer/store/safetensors.hpp) is another thing: it covers names and
// metadata too.
#pragma once

#include <string>

#include "models/network.hpp"

namespace trainer {

// Parameters and running statistics as tests use them, and a model file holds them: the digest of a run.
std::string digest_of(const Network& network);

// Parameters, running statistics, the optimiser's values and moving averages: the digest of a step. A fault in the latter would show
// only one step later in the former.
std::string digest_with_optimizer(const Network& network);

// What decides the last bits of a training without portable bits: libraries and instruction sets, never the number of threads.
std::string engine_text(const DeviceInfo& info);

}  // namespace trainer
