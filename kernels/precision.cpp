#include "kernels/precision.hpp"

#include <array>

namespace trainer {

namespace {

constexpr std::array<Precision, 4> kAll = {Precision::fp32, Precision::tf32, Precision::fp16,
                                           Precision::bf16};

}  // namespace

const char* precision_name(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::tf32:
      return "tf32";
    case Precision::fp16:
      return "fp16";
    case Precision::bf16:
      return "bf16";
  }
  return "";
}

std::optional<Precision> precision_named(std::string_view name) {
  for (const Precision precision : kAll) {
    if (name == precision_name(precision)) return precision;
  }
  return std::nullopt;
}

}  // namespace trainer
