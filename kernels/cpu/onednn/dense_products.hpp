// An op with the three products of a dense layer: y = x w^T + b shard by shard, dx = dy w by shards too or by a few at once, and
// dw = dy^T x with db over the whole batch, by parts of the outputs. Small weights are kept in their canonical layout, and those of their products that
// only need some of the rows compute no others; large ones are kept as oneDNN's product reads them.
#pragma once

#include <cstddef>
#include <map>
#include <optional>

#include "kernels/cpu/onednn/products.hpp"

namespace trainer::cpu {

class DenseOp : public Op {
 public:
  bool reads_selected_rows() const override { return small_; }
  std::size_t stored_count(int index) const override {
    return index == 0 ? stored_layout().get_size() / sizeof(float) : Op::stored_count(index);
  }
  void store(int index, const float* canonical, float* stored) const override {
    if (index != 0) return Op::store(index, canonical, stored);
    context_.dnn.reorder(canonical_layout(), canonical, stored_layout(), stored);
  }
  void fetch(int index, const float* stored, float* canonical) const override {
    if (index != 0) return Op::fetch(index, stored, canonical);
    context_.dnn.reorder(stored_layout(), stored, canonical_layout(), canonical);
  }

 protected:
  DenseOp(const CpuContext& context, const OpDesc& desc, const DenseDesc& product, int batch, bool wants_dx);

  // Append products to the stream; a shard's rows of y, and of dx, are complete for what follows by shards. dy [n, out] stays as it
  // is until the end of the step.
  void append_forward(const OpArgs& args);
  void append_backward(const OpArgs& args, const float* dy);

  const CpuContext& context_;
  const std::size_t in_, out_;

 private:
  using Forward = Ready<dnnl::inner_product_forward>;
  using Data = Ready<dnnl::inner_product_backward_data>;
  using Weights = Ready<dnnl::inner_product_backward_weights>;
  struct Layout {  // a thread's
    std::byte *product, *copy;
    float* dx;  // gradient of the selected rows, packed
  };

  bool bf16() const { return context_.bf16 != nullptr; }
  Desc canonical_layout() const { return float_desc({dim(out_), dim(in_)}, Tag::ab); }
  Desc stored_layout() const { return bf16() || small_ ? canonical_layout() : layout_of(forwards_); }
  std::size_t rows() const { return static_cast<std::size_t>(batch()); }
  Part outputs(int part) const;
  int groups() const { return shard_count(batch()) / group_; }
  Part group_of(int index) const;
  static dnnl::memory::dim dim(std::size_t count) { return static_cast<dnnl::memory::dim>(count); }
  static Desc layout_of(const std::map<std::size_t, Forward>& products) {
    return products.begin()->second.desc.weights_desc();
  }
  Forward make_forward(std::size_t rows, const Desc& weights, std::size_t outputs) const;
  void make_data(const Part& group);
  Desc gradient_layout(std::size_t count) const;
  void divide_outputs();
  void make_weights(const Part& outputs);
  Layout lay_out(HostAllocator& memory) const;
  Layout layout(int worker) const;
  std::byte* x_copy(std::size_t row) const;
  void multiply_selected(const OpArgs& args, const float* dy, const Shard& shard) const;
  void copy_dy(const float* dy, const Shard& shard) const;
  void backward_data(const OpArgs& args, const float* dy, const Part& rows, int worker) const;
  void weight_gradients(const OpArgs& args, const float* dy, int part, int worker) const;

  bool bias_;
  bool small_;
  int group_;                                  // shards whose dx is computed at once
  int parts_ = 1;                              // parts that dw is cut into
  std::size_t block_floats_ = 0;               // weights of so many outputs as lie together
  std::map<std::size_t, Forward> forwards_;    // keyed by their rows
  std::map<std::size_t, Data> datas_;          // likewise
  std::map<std::size_t, Weights> weights_;     // keyed by their outputs
  std::optional<ConvertedWeights> forward_w_;  // converted in each step
  // Copies for dw: of a small layer the selected rows of x and dy; else dy [parts, n, a part's outputs], and in bf16 x.
  HostBlock x_copy_, dy_copy_;
};

}  // namespace trainer::cpu
