// Parses --device and makes the backend.
#include "trainer/device_choice.hpp"

#include <charconv>
#include <fmt/format.h>

#include "trainer/settings.hpp"

namespace trainer {

namespace {

// N of "cuda:N"; 0 for "cuda".
std::optional<int> cuda_index(const std::string& device) {
  if (device == "cuda") return 0;
  if (!device.starts_with("cuda:")) return std::nullopt;
  int index = -1;
  const char* end = device.data() + device.size();
  const auto [stop, error] = std::from_chars(device.data() + 5, end, index);
  if (error != std::errc() || stop != end || index < 0) return std::nullopt;
  return index;
}

}  // namespace

DeviceChoice choose_device(const std::string& device, std::optional<int> threads) {
  if (threads && (*threads < 1 || *threads > 1024)) {
    throw UsageError(fmt::format("--threads {}: a number from 1 to 1024", *threads));
  }
  const CpuOptions cpu{threads.value_or(0)};
  if (device == "cpu") return {make_cpu_backend(cpu), "--device cpu was asked for"};
  if (const std::optional<int> index = cuda_index(device)) return {make_cuda_backend({*index}), ""};
  if (device != "auto") throw UsageError(fmt::format("--device {}: one of auto, cpu, cuda, cuda:N", device));
  const GpuAvailability gpu = gpu_availability();
  if (gpu.usable) return {make_cuda_backend({0}), ""};
  return {make_cpu_backend(cpu), gpu.reason};
}

}  // namespace trainer
