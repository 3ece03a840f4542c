// Parses --device and --engine and makes the backend.
#include "trainer/device/device_choice.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

#include "trainer/system/errors.hpp"

namespace trainer {

namespace {

constexpr std::string_view kLibraries = "libraries";

Bits bits_of(const DeviceRequest& request) {
  const std::string name = request.bits.value_or("fast");
  if (name == "fast") return Bits::fast;
  if (name != "portable") throw UsageError(fmt::format("--bits {}: one of fast, portable", name));
  const auto refuse = [](const std::string& option) {
    throw UsageError(
        fmt::format("{} cannot be combined with --bits portable, which computes in fp32 with "
                    "kernels of its own, the same on every device",
                    option));
  };
  if (request.precision.value_or("fp32") != "fp32") refuse("--precision " + *request.precision);
  if (request.engine != "auto") refuse("--engine " + request.engine);
  if (!request.deterministic) refuse("--nondeterministic");
  return Bits::portable;
}

Precision precision_of(const DeviceRequest& request, const std::vector<Precision>& wanted, const auto& has) {
  if (request.precision) {
    if (const std::optional<Precision> precision = precision_named(*request.precision)) return *precision;
    throw UsageError(fmt::format("--precision {}: one of fp32, tf32, fp16, bf16", *request.precision));
  }
  if (bits_of(request) == Bits::portable) return Precision::fp32;
  const auto found = std::find_if(wanted.begin(), wanted.end(), has);
  return found == wanted.end() ? Precision::fp32 : *found;
}

DeviceChoice open_cpu(const DeviceRequest& request, const std::string& gpu_reason) {
  const Precision precision = precision_of(request, request.wanted.cpu, cpu_has);
  const Bits bits = bits_of(request);
  return {make_cpu_backend({request.threads.value_or(0), precision, bits, request.batch}), precision, bits,
          gpu_reason};
}

DeviceChoice open_gpu(const DeviceRequest& request, int index) {
  const Precision precision =
      precision_of(request, request.wanted.cuda, [&](Precision p) { return gpu_has(index, p); });
  const Bits bits = bits_of(request);
  return {make_cuda_backend({.device = index,
                             .precision = precision,
                             .deterministic = request.deterministic,
                             .plan_cache = request.plan_cache,
                             .bits = bits,
                             .libraries = request.engine == kLibraries}),
          precision, bits, ""};
}

}  // namespace

std::string engine_line(const std::string& engine, const DeviceInfo& opened) {
  if (engine != kLibraries) return "";
  const std::optional<GpuSoftware>& gpu = opened.gpu_software;
  const char* effect = "layers that cuDNN or cuBLASLt has are theirs";
  if (!opened.gpu)
    effect = "changes nothing on a CPU";
  else if (gpu && gpu->cudnn.empty() && gpu->cublas.empty())
    effect = "changes nothing: neither cuDNN nor cuBLASLt has a layer of this network";
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

DeviceChoice choose_device(const DeviceRequest& request) {
  if (request.threads && (*request.threads < 1 || *request.threads > 1024))
    throw UsageError(fmt::format("--threads {}: a number from 1 to 1024", *request.threads));
  if (request.engine != "auto" && request.engine != kLibraries)
    throw UsageError(fmt::format("--engine {}: one of auto, libraries", request.engine));
  (void)bits_of(request);  // before a device is opened
  if (request.device == "cpu") return open_cpu(request, "--device cpu was asked for");
  if (const std::optional<int> index = cuda_index(request.device)) return open_gpu(request, *index);
  if (request.device != "auto")
    throw UsageError(fmt::format("--device {}: one of auto, cpu, cuda, cuda:N", request.device));
  const GpuAvailability gpu = gpu_availability();
  if (gpu.usable) return open_gpu(request, 0);
  return open_cpu(request, gpu.reason);
}

}  // namespace trainer
