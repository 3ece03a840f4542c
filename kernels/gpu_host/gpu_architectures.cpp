#include "kernels/gpu_host/gpu_architectures.hpp"

#include <charconv>
#include <fmt/format.h>
#include <optional>

namespace trainer {

namespace {

std::optional<GpuArchitecture> parse_one(std::string_view word) {
  GpuArchitecture architecture;
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, architecture.number);
  if (error != std::errc()) return std::nullopt;
  if (stop != end) architecture.suffix = *stop;
  if (stop + 1 < end || (stop != end && *stop != 'a' && *stop != 'f')) return std::nullopt;
  return architecture;
}

std::string names(const std::vector<GpuArchitecture>& architectures) {
  std::string text;
  for (const GpuArchitecture& architecture : architectures)
    text += (text.empty() ? "" : " ") + architecture_name(architecture);
  return text;
}

bool machine_code_runs(const GpuArchitecture& code, int device) {
  if (code.suffix == 'a') return code.number == device;
  return code.number / 10 == device / 10 && code.number <= device;
}

bool ptx_runs(const GpuArchitecture& code, int device) {
  return code.suffix == ' ' ? code.number <= device : machine_code_runs(code, device);
}

}  // namespace

GpuArchitectures parse_architectures(std::string_view cmake_list) {
  GpuArchitectures built;
  while (!cmake_list.empty()) {
    const std::size_t cut = cmake_list.find_first_of("; ,");
    const std::string_view word = cmake_list.substr(0, cut);
    cmake_list.remove_prefix(cut == std::string_view::npos ? cmake_list.size() : cut + 1);
    const bool only_machine_code = word.ends_with("-real");
    const bool only_ptx = word.ends_with("-virtual");
    const std::optional<GpuArchitecture> architecture = parse_one(word.substr(0, word.find('-')));
    if (!architecture) continue;
    if (!only_ptx) built.machine_code.push_back(*architecture);
    if (!only_machine_code) built.ptx.push_back(*architecture);
  }
  return built;
}

std::string architecture_name(const GpuArchitecture& architecture) {
  std::string name = std::to_string(architecture.number);
  if (architecture.suffix != ' ') name += architecture.suffix;
  return name;
}

std::string architectures_text(const GpuArchitectures& built) {
  if (built.machine_code.empty() && built.ptx.empty()) return "none";
  if (built.ptx.empty()) return names(built.machine_code);
  const std::string ptx = "PTX " + names(built.ptx);
  return built.machine_code.empty() ? ptx : names(built.machine_code) + " + " + ptx;
}

GpuCode code_for(const GpuArchitectures& built, int major, int minor) {
  const int device = capability_number(major, minor);
  GpuCode best;
  for (const GpuArchitecture& code : built.ptx)
    if (ptx_runs(code, device) && code.number >= best.from.number) best = {GpuCode::Kind::ptx, code};
  for (const GpuArchitecture& code : built.machine_code) {
    if (!machine_code_runs(code, device)) continue;
    if (best.kind != GpuCode::Kind::machine_code || code.number >= best.from.number)
      best = {GpuCode::Kind::machine_code, code};
  }
  return best;
}

std::string code_text(const GpuArchitectures& built, int major, int minor) {
  const auto [kind, from] = code_for(built, major, minor);
  if (kind == GpuCode::Kind::machine_code) return "runs the machine code of " + architecture_name(from);
  const std::string advice = rebuild_advice(major, minor);
  if (kind == GpuCode::Kind::none) return "runs none of it: " + advice;
  return fmt::format("runs PTX {}, which the driver compiles at the first start; for machine code {}",
                     architecture_name(from), advice);
}

std::string rebuild_advice(int major, int minor) {
  const int device = capability_number(major, minor);
  if (device < 70) return "use --device cpu or a newer GPU; the GPU engine cannot be built for less than 7.0";
  const std::string option = fmt::format("-DCMAKE_CUDA_ARCHITECTURES={}", device);
  if (device < 75) return "rebuild with CUDA 12.9, cuDNN 9.10.2 and " + option;
  return "rebuild with " + option;
}

}  // namespace trainer
