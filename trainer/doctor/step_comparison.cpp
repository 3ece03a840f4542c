#include "trainer/doctor/step_comparison.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace trainer::doctor {

using nlohmann::ordered_json;

namespace {

std::uint32_t bits_at(std::span<const std::byte> bytes, std::size_t element) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, bytes.data() + element * sizeof(bits), sizeof(bits));
  return bits;
}

ordered_json difference_of(const Tensor& is, std::span<const std::byte> should) {
  constexpr std::size_t kMostElements = 16;
  const std::size_t elements = is.bytes.size() / sizeof(std::uint32_t);
  std::size_t differ = 0;
  ordered_json first = ordered_json::array();
  for (std::size_t i = 0; i < elements; ++i) {
    if (bits_at(is.bytes, i) == bits_at(should, i)) continue;
    if (differ++ < kMostElements)
      first.push_back({{"element", i},
                       {"is", fmt::format("0x{:08x}", bits_at(is.bytes, i))},
                       {"should", fmt::format("0x{:08x}", bits_at(should, i))}});
  }
  return {{"tensor", is.name},
          {"op", is.name.substr(0, is.name.find('.'))},
          {"elements", elements},
          {"differ", differ},
          {"first", first}};
}

}  // namespace

std::optional<std::uint64_t> first_difference(const ordered_json& is, const ordered_json& should) {
  const auto [mine, other] = std::ranges::mismatch(is, should);
  if (mine == is.end() && other == should.end()) return std::nullopt;
  return (mine == is.end() ? *other : *mine).at("step").get<std::uint64_t>();
}

ordered_json differing_tensors(const SafetensorsFile& is, const SafetensorsFile& should) {
  ordered_json all = ordered_json::array();
  for (const Tensor& tensor : is.tensors()) {
    const ordered_json difference = difference_of(tensor, should.require(tensor.name, tensor.shape));
    if (difference["differ"] > 0) all.push_back(difference);
  }
  return all;
}

std::string comparison_text(const StepComparison& comparison) {
  if (comparison.step == 0 && !comparison.error.empty())
    return "it could not be compared step by step: " + comparison.error;
  if (comparison.step == 0)
    return fmt::format("{} more trainings of it, compared step by step with {}, do not differ",
                       comparison.trainings, comparison.beside);
  std::string text = fmt::format(
      "beside {} it differs from step {} on in {} of {} trainings, {} of them alike", comparison.beside,
      comparison.step, comparison.differing, comparison.trainings, comparison.same);
  if (!comparison.error.empty()) return text + "; its values then are not known: " + comparison.error;
  if (comparison.tensors.empty()) return text + "; trained again up to there it does not differ";
  const ordered_json& tensor = comparison.tensors[0];
  const ordered_json& first = tensor["first"][0];
  std::uint64_t differ = 0;
  for (const ordered_json& each : comparison.tensors) differ += each["differ"].get<std::uint64_t>();
  return text +
         fmt::format("; then {} elements differ, the first is element {} of {} (op {}): {} instead of {}",
                     differ, first["element"].dump(), tensor["tensor"].get<std::string>(),
                     tensor["op"].get<std::string>(), first["is"].get<std::string>(),
                     first["should"].get<std::string>());
}

ordered_json comparison_json(const StepComparison& comparison) {
  return {{"beside", comparison.beside},       {"beside_proven", comparison.beside_proven},
          {"error", comparison.error},         {"trainings", comparison.trainings},
          {"differing", comparison.differing}, {"same_difference", comparison.same},
          {"first_step", comparison.step},     {"tensors", comparison.tensors}};
}

}  // namespace trainer::doctor
