// The inputs of a conformance case in some precision, and the reference's results for them.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/precision.hpp"
#include "tests/kernels/conformance_cases.hpp"
#include "tests/reference/reference.hpp"

namespace trainer {

// Rounds to the maps' type, so that the backend gets exactly the reference's inputs.
inline void round_to(Element element, reference::Values& values) {
  if (element == Element::fp32) return;
  const std::uint32_t lost = element == Element::bf16 ? 0xFFFF : 0x1FFF;
  for (double& value : values) {
    const auto word = std::bit_cast<std::uint32_t>(static_cast<float>(value));
    value = std::bit_cast<float>((word + (lost >> 1U)) & ~lost);
  }
}

inline reference::Tensors inputs_of(const OpCase& c, Precision precision) {
  reference::Tensors t = sample_tensors(c.desc, c.batch, c.valid > 0 ? c.valid : c.batch, c.kind);
  round_to(element_of(precision), t.x);
  round_to(element_of(precision), t.dy);
  round_to(element_of(precision), t.skip);
  if (!t.parameters.empty()) round_to(element_of(precision), t.parameters[0]);
  return t;
}

// The head does not count: its product is fp32 in every precision.
inline bool has_product(const OpDesc& desc) {
  return std::holds_alternative<ConvDesc>(desc) || std::holds_alternative<DenseDesc>(desc) ||
         std::holds_alternative<NormalisedDesc>(desc);
}

// How far from a kink a result must lie so that rounding cannot change the decision. Ops without a product round
// nothing before their kink.
inline double undecided(const OpDesc& desc, Precision precision) {
  if (!has_product(desc)) return 1e-4;
  switch (precision) {
    case Precision::fp32:
      return 1e-4;
    case Precision::tf32:
    case Precision::fp16:
      return 0.02;
    case Precision::bf16:
      break;
  }
  return 0.08;
}

inline reference::Tensors reference_of(const OpCase& c, Mode mode, Precision precision = Precision::fp32) {
  reference::Tensors t = inputs_of(c, precision);
  t.mode = mode;
  reference::Tensors result = t;
  reference::forward(c.desc, result);
  if (mode == Mode::inference) return result;
  if (c.kind == SampleKind::smooth) drop_undecided(undecided(c.desc, precision), result);
  reference::backward(c.desc, result);
  return result;
}

// What the backend gets: the running statistics are those from before the step.
inline reference::Tensors inputs_of(const OpCase& c, Precision precision, const reference::Tensors& want) {
  reference::Tensors t = want;
  t.parameters = inputs_of(c, precision).parameters;
  return t;
}

}  // namespace trainer
