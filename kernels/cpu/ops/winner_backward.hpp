// Backward of convolution + max pool by the pool's argmax positions alone (loops/winners.cpp says why). Image by
// image, on as many threads as there are; each sums its images' gradients of the weights into an array of its
// own, and these are added up in the order of the threads.
#pragma once

#include <cstddef>

#include "kernels/cpu/runtime/context.hpp"
#include "kernels/cpu/runtime/selected_rows.hpp"

namespace trainer::cpu {

class WinnerBackward {
 public:
  WinnerBackward(const CpuContext& context, const ConvDesc& desc);

  std::size_t workspace_bytes() const;

  // x [n, h, w, c], w [out, k, k, c], dy and argmax positions [n, pooled]; assigns dw like w, db [out] if the
  // convolution has a bias, and dx like x unless it is null. x and dx are bf16 where
  // the contract of that map says so, else fp32.
  struct Args {
    const void* x;
    const float* w;
    const float* dy;
    const std::uint8_t* winners;
    float* dw;
    float* db;
    void* dx;
    std::byte* workspace;
    const SelectedRows& rows;  // the others' dx is left alone
  };
  void run(const Args& args) const;

 private:
  struct Layout {
    float* w;      // [out, k, k, channels], shared; w and x in bf16 where its loops are used
    float* dw;     // like w, then [out] of db: this thread's; the first thread's come first
    float* image;  // padded [h, w, channels]: x, then dx
    WinnerLists lists;
  };
  Layout layout(std::byte* workspace, int thread) const;
  std::size_t lay_out(std::byte* workspace, int thread, Layout& layout) const;
  template <typename T>
  void pad(const float* x, T* image) const;
  // [pixels, in.c] to [pixels, channels] of the loops, and back.
  void pad_channels(const float* from, float* to, std::size_t pixels) const;
  void pad_channels(const float* from, std::uint16_t* to, std::size_t pixels) const;
  void unpad_channels(const float* from, float* to, std::size_t pixels) const;
  void unpad(const float* image, float* dx) const;
  const std::uint16_t* bf16_image(const Args& args, std::size_t n, std::uint16_t* padded) const;
  void weights(const Args& args, std::size_t n, const Layout& p) const;
  void data(const Args& args, std::size_t n, const Layout& p) const;
  void run_range(const Args& args, std::size_t begin, std::size_t end, const Layout& p) const;

  const CpuContext& context_;
  const Bf16Loops* bf16_ = nullptr;  // null: the loops for fp32
  ConvDesc conv_;
  WinnerLoop loop_;
  std::size_t filter_floats_, image_floats_;  // of all filters, of one padded image
  bool plain_;                                // an image needs no padding
};

}  // namespace trainer::cpu
