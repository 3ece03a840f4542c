// Parses --device and --engine and makes the backend.
#include "trainer/device/device_choice.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

#include "trainer/system/errors.hpp"

namespace trainer {

namespace {

constexpr std::string_view kLibraries = "libraries";

Precision precision_of(const DeviceWish& wish, const std::vector<Precision>& wanted, const auto& has) {
  if (wish.precision) {
    if (const std::optional<Precision> precision = precision_named(*wish.precision)) return *precision;
    throw UsageError(fmt::format("--precision {}: one of fp32, tf32, fp16, bf16", *wish.precision));
  }
  const auto found = std::find_if(wanted.begin(), wanted.end(), has);
  return found == wanted.end() ? Precision::fp32 : *found;
}

DeviceChoice open_cpu(const DeviceWish& wish, const std::string& gpu_reason) {
  const Precision precision = precision_of(wish, wish.wanted.cpu, cpu_has);
  return {make_cpu_backend({wish.threads.value_or(0), precision}), precision, gpu_reason};
}

DeviceChoice open_gpu(const DeviceWish& wish, int index) {
  const Precision precision =
      precision_of(wish, wish.wanted.cuda, [&](Precision p) { return gpu_has(index, p); });
  return {make_cuda_backend({.device = index,
                             .precision = precision,
                             .deterministic = wish.deterministic,
                             .plan_cache = wish.plan_cache,
                             .libraries = wish.engine == kLibraries}),
          precision, ""};
}

}  // namespace

std::string engine_line(const std::string& engine, const DeviceInfo& opened) {
  if (engine != kLibraries) return "";
  const std::optional<GpuSoftware>& gpu = opened.gpu_software;
  const char* effect = "layers that cuDNN or cuBLASLt has are theirs";
  if (!opened.gpu) {
    effect = "changes nothing on a CPU";
  } else if (gpu && gpu->cudnn.empty() && gpu->cublas.empty()) {
    effect = "changes nothing: neither cuDNN nor cuBLASLt has a layer of this network";
  }
  return fmt::format("{:<14}{}: {}\n", "engine", engine, effect);
}

std::optional<int> cuda_index(const std::string& device) {
  if (device == "cuda") return 0;
  if (!device.starts_with("cuda:")) return std::nullopt;
  int index = -1;
  const char* end = device.data() + device.size();
  const auto [stop, error] = std::from_chars(device.data() + 5, end, index);
  if (error != std::errc() || stop != end || index < 0) return std::nullopt;
  return index;
}

DeviceChoice choose_device(const DeviceWish& wish) {
  if (wish.threads && (*wish.threads < 1 || *wish.threads > 1024)) {
    throw UsageError(fmt::format("--threads {}: a number from 1 to 1024", *wish.threads));
  }
  if (wish.engine != "auto" && wish.engine != kLibraries)
    throw UsageError(fmt::format("--engine {}: one of auto, libraries", wish.engine));
  if (wish.device == "cpu") return open_cpu(wish, "--device cpu was asked for");
  if (const std::optional<int> index = cuda_index(wish.device)) return open_gpu(wish, *index);
  if (wish.device != "auto")
    throw UsageError(fmt::format("--device {}: one of auto, cpu, cuda, cuda:N", wish.device));
  const GpuAvailability gpu = gpu_availability();
  if (gpu.usable) return open_gpu(wish, 0);
  return open_cpu(wish, gpu.reason);
}

}  // namespace trainer
