// What oneDNN's convolutions and dense layers share: operands cast to the precision, the three products of a
// layer, and an op whose weight stays in the layout that these products choose.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/runtime/context.hpp"
#include "kernels/cpu/runtime/parallel.hpp"

namespace trainer::cpu {

// The size of operand()'s copy of `count` floats.
inline std::size_t operand_bytes(const CpuContext& context, std::size_t count) {
  return context.bf16 != nullptr ? count * sizeof(std::uint16_t) : 0;
}

// `count` floats of a map as a product reads them: in place for fp32, cast into `copy` for bf16.
inline const void* operand(const CpuContext& context, const float* map, std::size_t count, std::byte* copy) {
  if (context.bf16 == nullptr) return map;
  auto* cast = reinterpret_cast<std::uint16_t*>(copy);
  parallel(count, kElementGrain, context.threads, [&](const Range& range) {
    context.bf16->to_bf16(map + range.begin, cast + range.begin, range.end - range.begin);
  });
  return cast;
}

// The size of weights_as()'s copy.
inline std::size_t weights_bytes(const Desc& stored, const Desc& wanted) {
  return wanted == stored ? 0 : wanted.get_size();
}

// Weights in layout and type `stored`, converted to `wanted`: in place if the two agree, else reordered into `copy`.
inline const void* weights_as(const CpuContext& context, const Desc& stored, const void* w,
                              const Desc& wanted, void* copy) {
  if (wanted == stored) return w;
  context.dnn.reorder(stored, w, wanted, copy);
  return copy;
}

// The three products of a layer: forward y = x * w + b, and the gradients dx = dy * w and dw = x * dy with
// db. x, dy and w have input_type(context), w in the layout of the call's *_weights(); outputs are fp32. Only
// the backward products that the layer has made may be called.
template <typename Forward, typename BackwardData, typename BackwardWeights>
class Products {
 public:
  std::size_t scratch_bytes() const {
    return std::max({forward_.scratch_bytes(), data_.scratch_bytes(), weights_.scratch_bytes()});
  }
  Desc forward_weights() const { return forward_.desc.weights_desc(); }
  Desc data_weights() const { return data_.desc.weights_desc(); }
  Desc gradient_weights() const { return weights_.desc.diff_weights_desc(); }

  void forward(const void* x, const void* w, const float* b, float* y, std::byte* scratch) const {
    forward_.execute(dnn_, scratch,
                     {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_BIAS, b}, {DNNL_ARG_DST, y}});
  }
  void backward_data(const void* dy, const void* w, float* dx, std::byte* scratch) const {
    data_.execute(dnn_, scratch, {{DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DIFF_SRC, dx}});
  }
  void backward_weights(const void* x, const void* dy, float* dw, float* db, std::byte* scratch) const {
    weights_.execute(
        dnn_, scratch,
        {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_DIFF_WEIGHTS, dw}, {DNNL_ARG_DIFF_BIAS, db}});
  }

 protected:
  explicit Products(const OneDnn& dnn) : dnn_(dnn) {}

  const OneDnn& dnn_;
  Ready<Forward> forward_;
  Ready<BackwardData> data_;
  Ready<BackwardWeights> weights_;
};

// An op whose parameter 0 is stored in a layout that oneDNN chooses.
class ProductOp : public Op {
 public:
  std::size_t stored_count(int index) const override {
    return index == 0 ? stored_.get_size() / sizeof(float) : Op::stored_count(index);
  }
  void store(int index, const float* canonical, float* stored) const override {
    if (index != 0) return Op::store(index, canonical, stored);
    context_.dnn.reorder(canonical_, canonical, stored_, stored);
  }
  void fetch(int index, const float* stored, float* canonical) const override {
    if (index != 0) return Op::fetch(index, stored, canonical);
    context_.dnn.reorder(stored_, stored, canonical_, canonical);
  }

 protected:
  ProductOp(const CpuContext& context, const OpDesc& desc, int batch, const Desc& canonical)
      : Op(desc, batch), context_(context), canonical_(canonical), stored_(canonical_) {}

  const CpuContext& context_;
  const Desc canonical_;
  Desc stored_;  // fp32; canonical unless the op's constructor changes it
};

}  // namespace trainer::cpu
