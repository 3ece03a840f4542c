#include "kernels/cpu/onednn/dense_products.hpp"

#include <algorithm>
#include <oneapi/dnnl/dnnl.h>

namespace trainer::cpu {

namespace {

constexpr std::size_t kSmall = 1 << 16;  // weights
constexpr std::size_t kLarge = 1 << 20;  // weights that should serve more rows at once
constexpr std::size_t kParts = 8;        // the most parts of the outputs
constexpr std::size_t kPartGrain = 64;   // outputs of the blocks of oneDNN's layouts

// c = a b, or with a transposed ('T'), of row-major matrices: c [m, n], whose rows are so many floats apart.
void multiply(char transposes_a, std::size_t m, std::size_t n, std::size_t k, const float* a,
              std::size_t a_stride, const float* b, float* c) {
  const auto dim = [](std::size_t count) { return static_cast<dnnl_dim_t>(count); };
  if (m == 0) return;
  const dnnl_status_t status =
      dnnl_sgemm(transposes_a, 'N', dim(m), dim(n), dim(k), 1, a, dim(a_stride), b, dim(n), 0, c, dim(n));
  if (status != dnnl_success) fail(status, fmt::format("a product of {} x {} x {}", m, n, k));
}

// How many of the first `end` rows are selected.
std::size_t count_selected(const OpArgs& args, std::size_t end) {
  if (args.selected == nullptr) return end;
  std::size_t count = 0;
  for (std::size_t n = 0; n < end; ++n) count += args.selected[n] != 0 ? 1 : 0;
  return count;
}

float* floats_of(const HostBlock& block) {
  return reinterpret_cast<float*>(block.data());
}

// The shards whose dx is computed at once: as many as make the weights worth being read.
int shards_at_once(int batch, std::size_t weights) {
  const int shards = shard_count(batch);
  const int rows = weights > kLarge ? 32 : 16;
  int at_once = 1;
  while (at_once < shards && batch * at_once / shards < rows) at_once *= 2;
  return at_once;
}

}  // namespace

DenseOp::DenseOp(const CpuContext& context, const OpDesc& desc, const DenseDesc& product, int batch,
                 bool wants_dx)
    : Op(desc, batch),
      context_(context),
      in_(static_cast<std::size_t>(product.in)),
      out_(static_cast<std::size_t>(product.out)),
      bias_(product.bias),
      small_(!bf16() && in_ * out_ <= kSmall),
      group_(shards_at_once(batch, in_ * out_)) {
  for (int index = 0; index < shard_count(batch); ++index) {
    const std::size_t rows = shard_of(batch, index, 0).rows();
    if (rows == 0 || forwards_.contains(rows)) continue;
    const Desc any({dim(out_), dim(in_)}, input_type(context), Tag::any);
    forwards_[rows] = make_forward(rows, forwards_.empty() ? any : layout_of(forwards_), out_);
  }
  forward_w_.emplace(context, stored_layout(), layout_of(forwards_));
  divide_outputs();
  if (!small_) {
    for (int index = 0; wants_dx && index < groups(); ++index) make_data(group_of(index));
    for (int part = 0; part < parts_; ++part) make_weights(outputs(part));
  }
  context.scratch.reserve([&](auto& memory) { return lay_out(memory); });
}

DenseOp::Forward DenseOp::make_forward(std::size_t rows, const Desc& weights, std::size_t outputs) const {
  Forward made;
  const bool bias = bias_ && outputs == out_;
  made.make(context_.dnn, describe_primitive<dnnl::inner_product_forward>(
                              context_.dnn.engine, dnnl::prop_kind::forward_training,
                              Desc({dim(rows), dim(in_)}, input_type(context_), Tag::nc), weights,
                              bias ? float_desc({dim(outputs)}, Tag::x) : Desc(),
                              float_desc({dim(rows), dim(outputs)}, Tag::nc)));
  return made;
}

Part DenseOp::group_of(int index) const {
  return {shard_of(batch(), index * group_, 0).begin, shard_of(batch(), (index + 1) * group_ - 1, 0).end};
}

void DenseOp::make_data(const Part& group) {
  const std::size_t rows = group.end - group.begin;
  if (rows == 0 || datas_.contains(rows)) return;
  const Desc weights = layout_of(forwards_);
  datas_[rows].make(context_.dnn, describe_backward<dnnl::inner_product_backward_data>(
                                      context_.dnn.engine, make_forward(rows, weights, out_).desc,
                                      float_desc({dim(rows), dim(in_)}, Tag::nc), weights,
                                      Desc({dim(rows), dim(out_)}, input_type(context_), Tag::nc)));
}

// The layout of dw for the first `count` outputs alone.
Desc DenseOp::gradient_layout(std::size_t count) const {
  if (bf16()) return float_desc({dim(count), dim(in_)}, Tag::ab);
  const Desc any({dim(count), dim(in_)}, Type::f32, Tag::any);
  return count == out_ ? layout_of(forwards_) : make_forward(rows(), any, count).desc.weights_desc();
}

// Finds the parts of the outputs: runs of whole blocks of the stored weights, if each lies there as it would alone.
void DenseOp::divide_outputs() {
  const std::size_t most = out_ / kPartGrain;
  if (most < 2 || small_) return;
  const Desc block = gradient_layout(kPartGrain);
  if (stored_layout().submemory_desc({dim(kPartGrain), dim(in_)}, {0, 0}) != block) return;
  parts_ = static_cast<int>(std::min(most, kParts));
  block_floats_ = block.get_size() / sizeof(float);
}

Part DenseOp::outputs(int part) const {
  const auto cut = [this](int p) {
    return p == parts_ ? out_
                       : out_ / kPartGrain * static_cast<std::size_t>(p) / static_cast<std::size_t>(parts_) *
                             kPartGrain;
  };
  return {cut(part), cut(part + 1)};
}

void DenseOp::make_weights(const Part& outputs) {
  const std::size_t count = outputs.end - outputs.begin;
  if (weights_.contains(count)) return;
  const Type input = input_type(context_);
  weights_[count].make(context_.dnn,
                       describe_backward<dnnl::inner_product_backward_weights>(
                           context_.dnn.engine,
                           make_forward(rows(), Desc({dim(count), dim(in_)}, input, Tag::any), count).desc,
                           Desc({batch(), dim(in_)}, input, Tag::nc), gradient_layout(count), Desc(),
                           Desc({batch(), dim(count)}, input, Tag::nc)));
}

DenseOp::Layout DenseOp::lay_out(HostAllocator& memory) const {
  std::size_t product = 0;
  for (const auto& [key, one] : forwards_) product = std::max(product, one.scratch_bytes());
  for (const auto& [key, one] : datas_) product = std::max(product, one.scratch_bytes());
  for (const auto& [key, one] : weights_) product = std::max(product, one.scratch_bytes());
  const std::size_t shard = shard_of(batch(), shard_count(batch()) - 1, 0).rows();
  Layout p{};
  p.product = memory.take<std::byte>(product);
  p.copy = memory.take<std::byte>(
      operand_bytes(context_, std::max(shard * in_, shard * static_cast<std::size_t>(group_) * out_)));
  p.dx = memory.take<float>(small_ ? shard * in_ : 0);
  return p;
}
DenseOp::Layout DenseOp::layout(int worker) const {
  return context_.scratch.of(worker, [&](auto& memory) { return lay_out(memory); });
}
std::byte* DenseOp::x_copy(std::size_t row) const {
  return x_copy_.data() + row * in_ * sizeof(std::uint16_t);
}

void DenseOp::append_forward(const OpArgs& args) {
  const bool keeps_copy = bf16() && args.mode == Mode::training;
  if (keeps_copy && x_copy_.bytes() == 0) x_copy_ = HostBlock(rows() * in_ * sizeof(std::uint16_t));
  forward_w_->open(args.w);
  for_shards(context_, batch(), [this, args, keeps_copy](const Shard& shard) {
    if (shard.rows() == 0) return;
    const Layout p = layout(shard.worker);
    const void* x = operand(context_, floats(args.x) + shard.begin * in_, shard.rows() * in_,
                            keeps_copy ? x_copy(shard.begin) : p.copy);
    forwards_.at(shard.rows())
        .execute(context_.dnn, p.product,
                 {{DNNL_ARG_SRC, x},
                  {DNNL_ARG_WEIGHTS, forward_w_->of(args.w)},
                  {DNNL_ARG_BIAS, args.b},
                  {DNNL_ARG_DST, floats(args.y) + shard.begin * out_}});
  });
}

void DenseOp::append_backward(const OpArgs& args, const float* dy) {
  const std::size_t bytes = bf16() ? sizeof(std::uint16_t) : sizeof(float);
  if (dy_copy_.bytes() == 0 && (!small_ || args.selected != nullptr))
    dy_copy_ = HostBlock(rows() * out_ * bytes);
  if (small_ && args.selected != nullptr && x_copy_.bytes() == 0) x_copy_ = HostBlock(rows() * in_ * bytes);
  for_shards(context_, batch(), [this, args, dy](const Shard& shard) {
    if (small_) return multiply_selected(args, dy, shard);
    copy_dy(dy, shard);
    if (group_ == 1 && args.dx != nullptr) backward_data(args, dy, {shard.begin, shard.end}, shard.worker);
  });
  if (!small_ && group_ > 1 && args.dx != nullptr) {
    context_.stream.phase(groups(), [this, args, dy](int index, int worker) {
      backward_data(args, dy, group_of(index), worker);
    });
  }
  context_.stream.closing(
      parts_, [this, args, dy](int part, int worker) { weight_gradients(args, dy, part, worker); });
}

// dx of the selected rows, which are packed one after the other unless all of the batch are.
void DenseOp::multiply_selected(const OpArgs& args, const float* dy, const Shard& shard) const {
  float* to = args.dx == nullptr ? nullptr : floats(args.dx) + shard.begin * in_;
  if (count_selected(args, rows()) == rows()) {
    if (to != nullptr) multiply('N', shard.rows(), in_, out_, dy + shard.begin * out_, out_, args.w, to);
    return;
  }
  const std::size_t first = count_selected(args, shard.begin);
  float* x = floats_of(x_copy_) + first * in_;
  float* packed_dy = floats_of(dy_copy_) + first * out_;
  std::size_t count = 0;
  for (std::size_t n = shard.begin; n < shard.end; ++n) {
    if (!is_selected(args, n)) continue;
    std::copy_n(floats(args.x) + n * in_, in_, x + count * in_);
    std::copy_n(dy + n * out_, out_, packed_dy + count * out_);
    ++count;
  }
  if (to == nullptr) return;
  float* packed_dx = layout(shard.worker).dx;
  multiply('N', count, in_, out_, packed_dy, out_, args.w, packed_dx);
  const float* dx = packed_dx;
  for (std::size_t n = shard.begin; n < shard.end; ++n, to += in_) {
    if (!is_selected(args, n)) continue;
    std::copy_n(dx, in_, to);
    dx += in_;
  }
}

void DenseOp::copy_dy(const float* dy, const Shard& shard) const {
  for (int part = 0; part < parts_; ++part) {
    const auto [begin, end] = outputs(part);
    const std::size_t length = end - begin;
    for (std::size_t n = shard.begin; n < shard.end; ++n) {
      const float* from = dy + n * out_ + begin;
      float* to = floats_of(dy_copy_) + rows() * begin + n * length;
      auto* cast = halves(static_cast<void*>(dy_copy_.data())) + rows() * begin + n * length;
      bf16() ? context_.bf16->to_bf16(from, cast, length) : static_cast<void>(std::copy_n(from, length, to));
    }
  }
}

void DenseOp::backward_data(const OpArgs& args, const float* dy, const Part& rows, int worker) const {
  const std::size_t count = rows.end - rows.begin;
  if (count == 0) return;
  const Layout p = layout(worker);
  datas_.at(count).execute(
      context_.dnn, p.product,
      {{DNNL_ARG_DIFF_DST, operand(context_, dy + rows.begin * out_, count * out_, p.copy)},
       {DNNL_ARG_WEIGHTS, forward_w_->of(args.w)},
       {DNNL_ARG_DIFF_SRC, floats(args.dx) + rows.begin * in_}});
}

// dw and db of a part of the outputs.
void DenseOp::weight_gradients(const OpArgs& args, const float* dy, int part, int worker) const {
  const auto [begin, end] = outputs(part);
  std::size_t count = rows();
  if (small_) {
    const float* x = floats(args.x);
    count = count_selected(args, rows());
    if (count < rows()) {
      x = floats_of(x_copy_);
      dy = floats_of(dy_copy_);
    }
    if (count > 0)
      multiply('T', end - begin, in_, count, dy + begin, out_, x, args.dw + begin * in_);
    else
      std::fill_n(args.dw + begin * in_, (end - begin) * in_, 0.0F);
  } else {
    const std::size_t bytes = bf16() ? sizeof(std::uint16_t) : sizeof(float);
    weights_.at(end - begin)
        .execute(context_.dnn, layout(worker).product,
                 {{DNNL_ARG_SRC, bf16() ? static_cast<const void*>(x_copy_.data()) : args.x},
                  {DNNL_ARG_DIFF_DST, dy_copy_.data() + rows() * begin * bytes},
                  {DNNL_ARG_DIFF_WEIGHTS, args.dw + begin / kPartGrain * block_floats_}});
  }
  if (!bias_) return;
  std::fill(args.db + begin, args.db + end, 0.0F);
  for (std::size_t n = 0; n < count; ++n) context_.loops.add(dy + n * out_, args.db, begin, end);
}

}  // namespace trainer::cpu
