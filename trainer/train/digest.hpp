// The digest of a network: SHA-256 of its values alone, each as the four bytes of its fp32 form from the lowest on, in the order of
// Network::tensors(). With portable bits (kernels/portable/) every machine that trains the same recipe on the same data must
// meet it. The content hash that guards a file of weights (trainer/store/safetensors.hpp) is another thing: it covers names and
// metadata too.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "models/network.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer {

// Parameters and running statistics: the digest of a run.
inline std::string digest_of(const Network& network, bool with_optimizer = false) {
  Sha256 hash;
  for (const NetworkTensor& tensor : network.tensors()) {
    if (tensor.arena > 0 && !with_optimizer) continue;
    const std::vector<float> values = network.read(tensor);
    hash.update(std::as_bytes(std::span(values)));  // this machine's numbers are little-endian
  }
  return hash.hex();
}

// The optimiser's values too: the digest of a step. Without them a fault in these would show only one step later.
inline std::string digest_with_optimizer(const Network& network) {
  return digest_of(network, true);
}

}  // namespace trainer
