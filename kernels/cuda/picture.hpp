// The shape of a first layer on grey pictures, as its kernels take it.
#pragma once

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
};

// Of a conv as is_one_channel_conv() takes it.
inline FirstConv first_conv_shape(const ConvDesc& d, int batch) {
  const Shape out = out_shape(d);
  return {static_cast<unsigned>(batch),
          d.in.h,
          d.in.w,
          d.pad.top,
          d.pad.left,
          d.in.h + d.pad.top + d.pad.bottom,
          d.in.w + d.pad.left + d.pad.right,
          out.h,
          out.w,
          d.pool ? d.pool.stride : 1,
          static_cast<unsigned>(d.out),
          d.relu};
}

}  // namespace trainer::cuda
