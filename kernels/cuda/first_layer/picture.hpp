// The shape of a first layer on grey pictures, as its kernels take it.
#pragma once

#include "kernels/math/divider.hpp"
#include "kernels/op.hpp"

namespace trainer::cuda {

constexpr unsigned kMostPixels = 4096;  // of a picture with its border
constexpr unsigned kMostTogether = 16;  // pictures of a block at a time

struct FirstConv {
  unsigned batch = 1;
  int h = 1, w = 1;           // of the picture
  int top = 0, left = 0;      // border
  int ph = 1, pw = 1;         // of the picture with its border
  int rows = 1, columns = 1;  // of y
  int stride = 1;             // of the pool; 1 without one
  unsigned channels = 1;
  bool relu = false;
  Divider by_pixels, by_pw, by_outputs, by_columns;  // pixels with the border

  HOST_DEVICE unsigned pixels() const { return by_pixels.by(); }
  HOST_DEVICE unsigned outputs() const { return by_outputs.by(); }
};

// Of a conv as is_one_channel_conv() takes it.
inline FirstConv first_conv_shape(const ConvDesc& d, int batch) {
  const Shape out = out_shape(d);
  const int ph = d.in.h + d.pad.top + d.pad.bottom;
  const int pw = d.in.w + d.pad.left + d.pad.right;
  const auto by = [](int number) { return Divider(static_cast<unsigned>(number)); };
  return {static_cast<unsigned>(batch),
          d.in.h,
          d.in.w,
          d.pad.top,
          d.pad.left,
          ph,
          pw,
          out.h,
          out.w,
          d.pool ? d.pool.stride : 1,
          static_cast<unsigned>(d.out),
          d.relu,
          by(ph * pw),
          by(pw),
          by(out.h * out.w),
          by(out.w)};
}

}  // namespace trainer::cuda
