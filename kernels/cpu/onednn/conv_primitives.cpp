// oneDNN's direct convolution in its three directions, and how a shard is divided into slices.
#include "kernels/cpu/onednn/conv_primitives.hpp"

#include <algorithm>

namespace trainer::cpu {

namespace {

constexpr std::size_t kSliceBytes = 1 << 20;  // a slice's input and map: a core's L2 cache

// The images per slice of a shard of so many rows: if possible, a divisor of them.
std::size_t slice_images(const ConvDesc& desc, std::size_t rows) {
  const std::size_t image = (desc.in.size() + conv_map(desc).size()) * sizeof(float);
  const std::size_t most = std::clamp<std::size_t>(kSliceBytes / image, 1, std::max<std::size_t>(rows, 1));
  for (std::size_t images = most; images >= std::max<std::size_t>(1, most / 2); --images) {
    if (rows % images == 0) return images;
  }
  return most;
}

}  // namespace

ConvPrimitives::ConvPrimitives(const CpuContext& context, const ConvDesc& desc, std::size_t images,
                               Directions directions, const ConvPrimitives* like)
    : dnn_(context.dnn), images_(images) {
  const dnnl::engine& engine = dnn_.engine;
  const Type input = input_type(context);
  const Shape map = conv_map(desc);
  const Dims stride{desc.stride, desc.stride};
  const Dims begin{desc.pad.top, desc.pad.left};
  const Dims end{desc.pad.bottom, desc.pad.right};
  const auto count = static_cast<dnnl::memory::dim>(images);
  const Dims images_in{count, desc.in.c, desc.in.h, desc.in.w};
  const Dims images_out{count, map.c, map.h, map.w};
  const Dims filters{desc.out, desc.in.c, desc.kernel, desc.kernel};
  const Desc x(images_in, input, Tag::nhwc);
  const Desc dmap(images_out, input, Tag::nhwc);
  const Desc any(filters, input, Tag::any);
  const Desc bias = desc.bias ? float_desc({desc.out}, Tag::x) : Desc();
  const auto direct = dnnl::algorithm::convolution_direct;

  forward_.make(dnn_, describe_primitive<dnnl::convolution_forward>(
                          engine, dnnl::prop_kind::forward_training, direct, x,
                          like != nullptr ? like->forward_weights() : any, bias,
                          float_desc(images_out, Tag::nhwc), stride, begin, end));
  if (directions == Directions::forward) return;
  weights_.make(dnn_, describe_backward<dnnl::convolution_backward_weights>(
                          engine, forward_.desc, direct, x,
                          like != nullptr ? like->gradient_weights() : float_desc(filters, Tag::any), bias,
                          dmap, stride, begin, end));
  if (directions != Directions::all) return;
  data_.make(dnn_, describe_backward<dnnl::convolution_backward_data>(
                       engine, forward_.desc, direct, float_desc(images_in, Tag::nhwc),
                       like != nullptr ? like->data_weights() : any, dmap, stride, begin, end));
}

ConvSlices::ConvSlices(const CpuContext& context, const ConvDesc& desc, int batch, Directions directions)
    : context_(context),
      desc_(desc),
      map_floats_(conv_map(desc).size()),
      slice_(context, desc, slice_images(desc, shard_of(batch, 0, 0).rows()), directions, nullptr) {
  for (int index = 0; index < shard_count(batch); ++index) {
    const std::size_t rest = shard_of(batch, index, 0).rows() % slice_.images();
    if (rest > 0) rests_.try_emplace(rest, context, desc, rest, directions, &slice_);
  }
}

ConvSlices::Layout ConvSlices::lay_out(HostAllocator& memory) const {
  std::size_t scratch = slice_.scratch_bytes();
  for (const auto& [images, rest] : rests_) scratch = std::max(scratch, rest.scratch_bytes());
  const std::size_t images = desc_.x_map.bf16 ? 0 : slice_.images();
  Layout p{};
  p.scratch = memory.take<std::byte>(scratch);
  p.x = memory.take<std::byte>(operand_bytes(context_, images * desc_.in.size()));
  return p;
}

const void* ConvSlices::x_operand(const void* x, const ConvPrimitives& slice, std::size_t first,
                                  std::byte* copy) const {
  const std::size_t at = first * desc_.in.size();
  if (desc_.x_map.bf16) return halves(x) + at;
  return operand(context_, floats(x) + at, slice.images() * desc_.in.size(), copy);
}

}  // namespace trainer::cpu
