#include "trainer/train/digest.hpp"

#include <bit>
#include <cstdint>
#include <fmt/format.h>

#include "trainer/system/sha256.hpp"

namespace trainer {

namespace {

std::string digest(const Network& network, bool with_optimizer) {
  Sha256 hash;
  std::vector<std::byte> bytes;
  for (const NetworkTensor& tensor : network.tensors()) {
    if (tensor.arena > 0 && !with_optimizer) continue;
    bytes.clear();
    for (const float value : network.read(with_optimizer ? tensor : network.tested(tensor))) {
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

std::string engine_text(const DeviceInfo& info) {
  if (info.gpu && info.gpu_software) {
    const auto version = [](const std::string& of) { return of.empty() ? "n/a" : of; };
    return fmt::format("{} with cuDNN {}, cuBLAS {}", info.gpu->name, version(info.gpu_software->cudnn),
                       version(info.gpu_software->cublas));
  }
  return fmt::format("{} with oneDNN {}, {}, loops for {}, by shards", info.kind, info.cpu.onednn_version,
                     info.cpu.instruction_set, info.cpu.loops);
}

}  // namespace trainer
