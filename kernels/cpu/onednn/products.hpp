// What oneDNN's convolutions and dense layers share: operands cast to the precision, and weights converted once a step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "kernels/cpu/runtime/context.hpp"

namespace trainer::cpu {

// The size of operand()'s copy of `count` floats.
inline std::size_t operand_bytes(const CpuContext& context, std::size_t count) {
  return context.bf16 != nullptr ? count * sizeof(std::uint16_t) : 0;
}

// `count` floats of a map as a product reads them: in place for fp32, cast into `copy` for bf16.
inline const void* operand(const CpuContext& context, const float* map, std::size_t count, std::byte* copy) {
  if (context.bf16 == nullptr) return map;
  context.bf16->to_bf16(map, reinterpret_cast<std::uint16_t*>(copy), count);
  return copy;
}

// Weights in the layout and type that a product reads. They are stored in their canonical layout, in fp32, and converted once a step.
class ConvertedWeights {
 public:
  ConvertedWeights(const CpuContext& context, const Desc& stored, const Desc& wanted)
      : context_(context), stored_(stored), wanted_(wanted) {
    if (stored == wanted) return;
    copy_ = HostBlock(wanted.get_size());
    const dnnl::engine& engine = context.dnn.engine;
    reorder_.emplace(dnnl::reorder::primitive_desc(engine, stored, engine, wanted));
  }

  // Appends the conversion.
  void open(const float* w) const {
    if (!reorder_) return;
    context_.stream.opening(1, [this, w](int, int) {
      dnnl::memory from = context_.dnn.view(stored_, w);
      dnnl::memory to = context_.dnn.view(wanted_, copy_.data());
      reorder_->execute(context_.dnn.stream, from, to);
    });
  }
  const void* of(const float* w) const { return reorder_ ? static_cast<const void*>(copy_.data()) : w; }

 private:
  const CpuContext& context_;
  Desc stored_, wanted_;
  HostBlock copy_;
  std::optional<dnnl::reorder> reorder_;
};

}  // namespace trainer::cpu
