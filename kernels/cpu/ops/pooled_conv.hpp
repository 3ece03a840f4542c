// A convolution that a max pool follows, without its forward, which comes in two kinds (conv.cpp,
// few_channels_conv.cpp). Backward walks the gradients at the pool's argmax alone
// (loops/sparse_conv_backward.cpp says why). Image by image, on as many threads as there are, each sums its
// images' gradients of the weights into an array of its own; these are added up in the order of the threads.
#pragma once

#include <cstddef>

#include "kernels/cpu/onednn/products.hpp"
#include "kernels/cpu/runtime/kept_rows.hpp"

namespace trainer::cpu {

class PooledConv : public ProductOp {
 public:
  std::size_t workspace_bytes() const final;
  std::size_t saved_bytes() const final;  // argmax [n, h, w, c]
  bool skips_rows() const final { return true; }

 protected:
  PooledConv(const CpuContext& context, const ConvDesc& desc, int batch);

  const ConvDesc conv_;

 private:
  struct Pieces {
    float *plain_w, *plain_dw;  // canonical, where the weights are stored otherwise
    float* w;                   // [out, k, k, channels] of the loops; bf16 where its loops are used
    float* dw;                  // like w, then [out] of db: this thread's
    float* image;               // padded [h, w, channels]: x, which may be bf16, then dx
    GradientLists lists;        // this thread's
  };
  Pieces take_pieces(HostAllocator& memory, int thread) const;
  Pieces pieces(const OpArgs& args, int thread) const;
  virtual std::size_t forward_bytes() const = 0;  // of the workspace

  template <typename Body>
  void for_rows(const Body& body) const;
  const float* image_of(const OpArgs& args, std::size_t n, const Pieces& p) const;
  const std::uint16_t* bf16_image_of(const OpArgs& args, std::size_t n, const Pieces& p) const;
  void add_weights(const OpArgs& args, std::size_t n, const Pieces& p) const;
  void write_dx(const OpArgs& args, std::size_t n, const Pieces& p) const;
  void prepare_filters(const OpArgs& args, const Pieces& p) const;
  void write_dw(const OpArgs& args, const Pieces& p) const;
  void run_backward(const OpArgs& args) final;

  const Bf16Loops* bf16_ = nullptr;  // null: the loops for fp32
  SparseConvLoop loop_{};
  std::size_t filter_floats_, image_floats_;  // of all filters, of one padded image
  bool plain_;                                // an image needs no padding
  KeptRows rows_;
};

}  // namespace trainer::cpu
