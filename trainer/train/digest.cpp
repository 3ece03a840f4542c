#include "trainer/train/digest.hpp"

#include <fmt/format.h>
#include <span>
#include <vector>

#include "trainer/system/sha256.hpp"

namespace trainer {

namespace {

std::string digest(const Network& network, bool of_step) {
  Sha256 hash;
  for (const NetworkTensor& tensor : network.tensors()) {
    if (tensor.arena > 0 && !of_step) continue;
    const std::vector<float> values = network.read(of_step ? tensor : network.tested(tensor));
    hash.update(std::as_bytes(std::span(values)));  // this machine's numbers are little-endian
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
