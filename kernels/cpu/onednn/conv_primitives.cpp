// oneDNN's direct convolution in its three directions, and how a batch is divided into slices.
#include "kernels/cpu/onednn/conv_primitives.hpp"

namespace trainer::cpu {

namespace {

constexpr std::size_t kSliceBytes = 1 << 20;  // a slice's input and map, per thread: a core's L2 cache

// The images per slice: a multiple of the threads and, if possible, a divisor of the batch.
int slice_images(const ConvDesc& desc, int batch, int threads) {
  const std::size_t image = (desc.in.size() + conv_map(desc).size()) * sizeof(float);
  const auto fitting = static_cast<int>(kSliceBytes * static_cast<std::size_t>(threads) / image);
  const int most = std::clamp(fitting / threads * threads, std::min(threads, batch), batch);
  for (int images = most; images >= std::max(1, most / 2); --images) {
    if (batch % images == 0 && images % threads == 0) return images;
  }
  return most;
}

}  // namespace

ConvPrimitives::ConvPrimitives(const CpuContext& context, const ConvDesc& desc, int images,
                               Directions directions, const ConvPrimitives* like)
    : Products(context.dnn), images_(static_cast<std::size_t>(images)) {
  const dnnl::engine& engine = dnn_.engine;
  const Type input = input_type(context);
  const Shape map = conv_map(desc);
  const Dims stride{desc.stride, desc.stride};
  const Dims begin{desc.pad.top, desc.pad.left};
  const Dims end{desc.pad.bottom, desc.pad.right};
  const Dims images_in{images, desc.in.c, desc.in.h, desc.in.w};
  const Dims images_out{images, map.c, map.h, map.w};
  const Dims filters{desc.out, desc.in.c, desc.kernel, desc.kernel};
  const Desc x(images_in, input, Tag::nhwc);
  const Desc dmap(images_out, input, Tag::nhwc);
  const Desc any(filters, input, Tag::any);
  const Desc bias = desc.bias ? float_desc({desc.out}, Tag::x) : Desc();
  const auto direct = dnnl::algorithm::convolution_direct;

  forward_.make(describe_primitive<dnnl::convolution_forward>(
      engine, dnnl::prop_kind::forward_training, direct, x, like != nullptr ? like->forward_weights() : any,
      bias, float_desc(images_out, Tag::nhwc), stride, begin, end));
  if (directions == Directions::forward) return;
  weights_.make(describe_backward<dnnl::convolution_backward_weights>(
      engine, forward_.desc, direct, x,
      like != nullptr ? like->gradient_weights() : float_desc(filters, Tag::any), bias, dmap, stride, begin,
      end));
  if (directions != Directions::all) return;
  data_.make(describe_backward<dnnl::convolution_backward_data>(
      engine, forward_.desc, direct, float_desc(images_in, Tag::nhwc),
      like != nullptr ? like->data_weights() : any, dmap, stride, begin, end));
}

ConvSlices::ConvSlices(const CpuContext& context, const ConvDesc& desc, int batch, Directions directions)
    : context_(context),
      desc_(desc),
      directions_(directions),
      batch_(static_cast<std::size_t>(batch)),
      map_floats_(conv_map(desc).size()),
      slice_(context, desc, slice_images(desc, batch, context.threads), directions, nullptr) {
  const std::size_t rest = batch_ % slice_.images();
  if (rest > 0) rest_.emplace(context, desc, static_cast<int>(rest), directions, &slice_);
}

ConvSlices::Layout ConvSlices::lay_out(HostAllocator& memory, const Desc& stored) const {
  const std::size_t forward = weights_bytes(stored, slice_.forward_weights());
  const std::size_t data = directions_ == Directions::all ? weights_bytes(stored, slice_.data_weights()) : 0;
  const std::size_t images = desc_.x_map.bf16 ? 0 : slice_.images();
  Layout p{};
  p.scratch = memory.take<std::byte>(std::max(slice_.scratch_bytes(), rest_ ? rest_->scratch_bytes() : 0));
  p.w = memory.take<std::byte>(std::max(forward, data));
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
