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

Precision precision_of(const std::string& word) {
  if (word == "fp32") return Precision::fp32;
  if (word == "tf32") return Precision::tf32;
  throw UsageError(fmt::format("--precision {}: one of fp32, tf32", word));
}

std::unique_ptr<Backend> open_cpu(const DeviceWish& wish) {
  if (precision_of(wish.precision) != Precision::fp32) {
    throw UsageError(fmt::format(
        "--precision {}: the CPU engine computes in fp32; leave the option out, or name a GPU with "
        "--device cuda",
        wish.precision));
  }
  return make_cpu_backend({wish.threads.value_or(0)});
}

std::unique_ptr<Backend> open_gpu(const DeviceWish& wish, int index) {
  return make_cuda_backend({index, precision_of(wish.precision), wish.deterministic, wish.plan_cache});
}

}  // namespace

DeviceChoice choose_device(const DeviceWish& wish) {
  if (wish.threads && (*wish.threads < 1 || *wish.threads > 1024)) {
    throw UsageError(fmt::format("--threads {}: a number from 1 to 1024", *wish.threads));
  }
  if (wish.device == "cpu") return {open_cpu(wish), "--device cpu was asked for"};
  if (const std::optional<int> index = cuda_index(wish.device)) return {open_gpu(wish, *index), ""};
  if (wish.device != "auto")
    throw UsageError(fmt::format("--device {}: one of auto, cpu, cuda, cuda:N", wish.device));
  const GpuAvailability gpu = gpu_availability();
  if (gpu.usable) return {open_gpu(wish, 0), ""};
  return {open_cpu(wish), gpu.reason};
}

}  // namespace trainer
