// Convolution + bias + ReLU + max pool. oneDNN convolves; the pool and its backward are our own loops. The
// batch is walked in slices small enough that the map between convolution and pool stays in the cache: for
// the shipped networks that map is the largest array there is, and with slices it never reaches memory. The
// gradients of the slices' weights are added up in order.
#include <algorithm>
#include <optional>

#include "kernels/cpu/conv_primitives.hpp"
#include "kernels/cpu/parallel.hpp"

namespace trainer::cpu {

namespace {

constexpr std::size_t kSliceBytes = 1 << 20;  // input and map of a slice, a thread: a core's L2 cache

// Images to a slice: a multiple of the threads, and if possible a divisor of the batch.
int slice_images(const ConvDesc& desc, int batch, int threads) {
  const std::size_t image = (desc.in.size() + conv_map(desc).size()) * sizeof(float);
  const auto fitting = static_cast<int>(kSliceBytes * static_cast<std::size_t>(threads) / image);
  const int most = std::clamp(fitting / threads * threads, std::min(threads, batch), batch);
  for (int images = most; images >= std::max(1, most / 2); --images) {
    if (batch % images == 0 && images % threads == 0) return images;
  }
  return most;
}

class Conv final : public Op {
 public:
  Conv(const CpuContext& context, const ConvDesc& desc, int batch, bool wants_dx)
      : Op(desc, batch),
        context_(context),
        conv_(desc),
        wants_dx_(wants_dx),
        slice_(context.dnn, desc, slice_images(desc, batch, context.threads), wants_dx, nullptr),
        map_floats_(conv_map(desc).size()),
        out_floats_(out_shape(desc).size()) {
    const int rest = batch % slice_.images();
    if (rest > 0) rest_.emplace(context.dnn, desc, rest, wants_dx, &slice_);
    const Shape map = conv_map(desc);
    pool_ = {map, map.c, desc.pool, out_shape(desc), desc.relu};
  }

  std::size_t workspace_bytes() const override {
    Carver carver(nullptr);
    carve(carver);
    return carver.used();
  }
  std::size_t saved_bytes() const override {
    return conv_.pool ? static_cast<std::size_t>(batch()) * out_floats_ : 0;  // winners [n, h, w, c]
  }
  std::size_t stored_count(int index) const override {
    return index == 0 ? slice_.forward_weights().get_size() / sizeof(float) : Op::stored_count(index);
  }
  void store(int index, const float* canonical, float* stored) const override {
    if (index != 0) return Op::store(index, canonical, stored);
    context_.dnn.reorder(canonical_weights(), canonical, slice_.forward_weights(), stored);
  }
  void fetch(int index, const float* stored, float* canonical) const override {
    if (index != 0) return Op::fetch(index, stored, canonical);
    context_.dnn.reorder(slice_.forward_weights(), stored, canonical_weights(), canonical);
  }

 private:
  // The pieces of the workspace, in either direction.
  struct Pieces {
    std::byte* scratch;
    float* map;       // [slice, h, w, out]: between convolution and pool
    float* w;         // for backward_data
    float *sum, *dw;  // gradient of the weights so far, and of one slice
    float *bias_sum, *db;
  };

  Desc canonical_weights() const {
    return float_desc({conv_.out, conv_.in.c, conv_.kernel, conv_.kernel}, Tag::acdb);
  }

  Pieces carve(Carver& carver) const {
    const std::size_t gradient = slice_.gradient_weights().get_size() / sizeof(float);
    const std::size_t data = wants_dx_ ? slice_.data_weights().get_size() / sizeof(float) : 0;
    const auto outputs = static_cast<std::size_t>(conv_.out);
    const std::size_t scratch = std::max(slice_.scratch_bytes(), rest_ ? rest_->scratch_bytes() : 0);
    Pieces p{};
    p.scratch = carver.bytes(scratch);
    p.map = carver.floats(map_floats_ * static_cast<std::size_t>(slice_.images()));
    p.w = carver.floats(data);
    p.sum = carver.floats(gradient);
    p.dw = carver.floats(gradient);
    p.bias_sum = carver.floats(outputs);
    p.db = carver.floats(outputs);
    return p;
  }

  // Calls body(primitives, first image) for each slice of the batch.
  template <typename Body>
  void for_slices(const Body& body) const {
    int first = 0;
    for (; first + slice_.images() <= batch(); first += slice_.images())
      body(slice_, static_cast<std::size_t>(first));
    if (rest_) body(*rest_, static_cast<std::size_t>(first));
  }

  void run_forward(const OpArgs& args) override {
    Carver carver(args.workspace);
    const Pieces p = carve(carver);
    auto* winners = reinterpret_cast<std::uint8_t*>(args.saved);
    for_slices([&](const ConvPrimitives& conv, std::size_t first) {
      const float* x = args.x + first * conv_.in.size();
      float* y = args.y + first * out_floats_;
      if (!conv_.pool) return conv.forward(x, args.w, args.b, y, p.scratch);
      conv.forward(x, args.w, args.b, p.map, p.scratch);
      parallel(static_cast<std::size_t>(conv.images()), 1, context_.threads, [&](const Share& share) {
        const std::size_t at = share.begin * out_floats_;
        context_.loops.maxpool(pool_, p.map + share.begin * map_floats_, y + at,
                               winners + first * out_floats_ + at, share.end - share.begin);
      });
    });
  }

  // The gradient of the map of one slice: dy itself, or made in the workspace.
  const float* map_gradient(const OpArgs& args, const Pieces& p, std::size_t first, int images) const {
    const std::size_t offset = first * out_floats_;
    if (!conv_.pool && !conv_.relu) return args.dy + offset;
    const auto* winners = reinterpret_cast<const std::uint8_t*>(args.saved);
    parallel(static_cast<std::size_t>(images), 1, context_.threads, [&](const Share& share) {
      const std::size_t at = offset + share.begin * out_floats_;
      float* dmap = p.map + share.begin * map_floats_;
      const std::size_t count = share.end - share.begin;
      if (conv_.pool) {
        context_.loops.maxpool_backward(pool_, args.dy + at, winners + at, dmap, count);
      } else {
        context_.loops.relu_backward(args.y + at, args.dy + at, dmap, 0, count * out_floats_);
      }
    });
    return p.map;
  }

  void add_gradient(const Pieces& p) const {
    const std::size_t count = slice_.gradient_weights().get_size() / sizeof(float);
    parallel(count, 4096, context_.threads,
             [&](const Share& share) { context_.loops.add(p.dw, p.sum, share.begin, share.end); });
    if (conv_.bias) context_.loops.add(p.db, p.bias_sum, 0, static_cast<std::size_t>(conv_.out));
  }

  void run_backward(const OpArgs& args) override {
    Carver carver(args.workspace);
    const Pieces p = carve(carver);
    const OneDnn& dnn = context_.dnn;
    const float* data_weights = args.w;
    if (args.dx != nullptr && slice_.data_weights() != slice_.forward_weights()) {
      dnn.reorder(slice_.forward_weights(), args.w, slice_.data_weights(), p.w);
      data_weights = p.w;
    }
    for_slices([&](const ConvPrimitives& conv, std::size_t first) {
      const float* dmap = map_gradient(args, p, first, conv.images());
      const bool whole = first == 0;
      conv.backward_weights(args.x + first * conv_.in.size(), dmap, whole ? p.sum : p.dw,
                            whole ? p.bias_sum : p.db, p.scratch);
      if (!whole) add_gradient(p);
      if (args.dx != nullptr) {
        conv.backward_data(dmap, data_weights, args.dx + first * conv_.in.size(), p.scratch);
      }
    });
    dnn.reorder(slice_.gradient_weights(), p.sum, slice_.forward_weights(), args.dw);
    if (conv_.bias) std::copy_n(p.bias_sum, conv_.out, args.db);
  }

  const CpuContext& context_;
  ConvDesc conv_;
  bool wants_dx_;
  ConvPrimitives slice_;
  std::optional<ConvPrimitives> rest_;
  PoolLoop pool_{};
  std::size_t map_floats_, out_floats_;  // of one image
};

}  // namespace

std::unique_ptr<Op> make_conv(const CpuContext& context, const ConvDesc& desc, int batch, bool wants_dx) {
  return std::make_unique<Conv>(context, desc, batch, wants_dx);
}

}  // namespace trainer::cpu
