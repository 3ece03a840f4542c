#include "trainer/train/digest.hpp"

#include <bit>
#include <cstdint>

#include "trainer/system/sha256.hpp"

namespace trainer {

namespace {

std::string digest(const Network& network, bool with_optimizer) {
  Sha256 hash;
  std::vector<std::byte> bytes;
  for (const NetworkTensor& tensor : network.tensors()) {
    if (tensor.arena > 0 && !with_optimizer) continue;
    bytes.clear();
    for (const float value : network.read(tensor)) {
      const auto bits = std::bit_cast<std::uint32_t>(value);
      for (const unsigned shift : {0U, 8U, 16U, 24U}) bytes.push_back(static_cast<std::byte>(bits >> shift));
    }
    hash.update(bytes);
  }
  return hash.hex();
}

}  // namespace

std::string digest_of(const Network& network) {
  return digest(network, false);
}

std::string digest_with_optimizer(const Network& network) {
  return digest(network, true);
}

}  // namespace trainer
