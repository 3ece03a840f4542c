// What a product of oneDNN reads under a precision: maps and weights as they are in fp32, cast copies of them
// in bf16.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/runtime/context.hpp"
#include "kernels/cpu/runtime/parallel.hpp"

namespace trainer::cpu {

// Bytes of operand()'s copy of `count` floats.
inline std::size_t operand_bytes(const CpuContext& context, std::size_t count) {
  return context.bf16 != nullptr ? count * sizeof(std::uint16_t) : 0;
}

// `count` floats of a map as a product takes them: in place, or cast into `copy`.
inline const void* operand(const CpuContext& context, const float* map, std::size_t count, std::byte* copy) {
  if (context.bf16 == nullptr) return map;
  auto* cast = reinterpret_cast<std::uint16_t*>(copy);
  parallel(count, 4096, context.threads, [&](const Range& range) {
    context.bf16->to_bf16(map + range.begin, cast + range.begin, range.end - range.begin);
  });
  return cast;
}

// Bytes of weights_as()'s copy.
inline std::size_t weights_bytes(const Desc& stored, const Desc& wanted) {
  return wanted == stored ? 0 : wanted.get_size();
}

// Weights stored as `stored` in the layout and type `wanted`: in place, or reordered into `copy`.
inline const void* weights_as(const CpuContext& context, const Desc& stored, const float* w,
                              const Desc& wanted, std::byte* copy) {
  if (wanted == stored) return w;
  context.dnn.reorder(stored, w, wanted, copy);
  return copy;
}

}  // namespace trainer::cpu
