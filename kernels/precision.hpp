// The precision of products: what their inputs are rounded to. Sums are accumulated in fp32, and weights, optimiser
// state, logits and the loss are fp32 in every precision ("mixed precision", Micikevicius et al. 2018). In fp16 and
// bf16 the GPU engine stores all maps, and the weight gradients of convolutions, in that type; the CPU engine casts
// the inputs of each product. The GPU engine never rounds the filters of a convolution of grey images.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace trainer {

enum class Precision : std::uint8_t { fp32, tf32, fp16, bf16 };

inline const char* precision_name(Precision precision) {
  constexpr const char* kNames[] = {"fp32", "tf32", "fp16", "bf16"};
  return kNames[static_cast<int>(precision)];
}

inline std::optional<Precision> precision_named(std::string_view name) {
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16}) {
    if (name == precision_name(precision)) return precision;
  }
  return std::nullopt;
}

// The storage type of a map's elements (a batch of images, activations or their gradients).
enum class Element : std::uint8_t { fp32, fp16, bf16 };

// The element type for an engine that keeps maps in the type that its products take.
constexpr Element element_of(Precision precision) {
  if (precision == Precision::fp16) return Element::fp16;
  return precision == Precision::bf16 ? Element::bf16 : Element::fp32;
}

constexpr std::size_t element_bytes(Element element) {
  return element == Element::fp32 ? 4 : 2;
}

}  // namespace trainer
