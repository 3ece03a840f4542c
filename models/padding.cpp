#include "models/padding.hpp"

#include <algorithm>

namespace trainer {

namespace {

// Walks the ops with the width that the map in front of each has in the padded network.
class Padder {
 public:
  explicit Padder(int multiple) : multiple_(multiple) {}

  // Pads `desc`; `in` is the true shape in front of it.
  std::vector<PaddedParameter> pad(OpDesc& desc, const Shape& in) {
    if (channels_ == 0) channels_ = in.c;
    return std::visit([&](auto& d) { return pad_op(d, in); }, desc);
  }

 private:
  int padded(int count) const { return (count + multiple_ - 1) / multiple_ * multiple_; }

  // Weight [out, spatial, in.c] and bias [out] of an op that makes `out` channels.
  std::vector<PaddedParameter> produce(int& out, int spatial, int in, bool bias, bool widens) {
    PaddedParameter weight{size(out), size(spatial), size(in), size(out), size(channels_)};
    if (widens) weight.padded_outer = size(padded(out));
    std::vector<PaddedParameter> all{weight};
    if (bias) all.push_back({weight.outer, 1, 1, weight.padded_outer, 1});
    out = channels_ = static_cast<int>(weight.padded_outer);
    return all;
  }

  std::vector<PaddedParameter> pad_op(ConvDesc& d, const Shape& in) {
    d.in.c = channels_;
    return produce(d.out, d.kernel * d.kernel, in.c, d.bias, true);
  }
  std::vector<PaddedParameter> pad_op(DenseDesc& d, const Shape& in) {
    d.in = in.h * in.w * channels_;
    return produce(d.out, in.h * in.w, in.c, d.bias, true);
  }
  std::vector<PaddedParameter> pad_op(HeadDesc& d, const Shape& in) {
    d.in = in.h * in.w * channels_;
    return produce(d.classes, in.h * in.w, in.c, d.bias, false);
  }
  std::vector<PaddedParameter> pad_op(BatchNormDesc& d, const Shape& in) {
    d.in.c = channels_;
    return {parameters(d).size(), PaddedParameter{size(in.c), 1, 1, size(channels_), 1}};
  }
  std::vector<PaddedParameter> pad_op(NormalisedDesc& d, const Shape& in) {
    const Shape normed = d.norm.in;
    std::vector<PaddedParameter> all =
        std::visit([&](auto& product) { return pad_op(product, in); }, d.product);
    for (const PaddedParameter& parameter : pad_op(d.norm, normed)) all.push_back(parameter);
    return all;
  }
  std::vector<PaddedParameter> pad_op(auto& d, const Shape& /*in*/) {
    d.in.c = channels_;
    return {};
  }

  static std::size_t size(int count) { return static_cast<std::size_t>(count); }

  int multiple_;
  int channels_ = 0;  // of the map in front, padded
};

}  // namespace

std::vector<float> PaddedParameter::pad(const std::vector<float>& values) const {
  std::vector<float> result(padded_count(), 0.0F);
  for (std::size_t row = 0; row < outer * spatial; ++row) {
    const auto from = values.begin() + static_cast<std::ptrdiff_t>(row * inner);
    std::copy_n(from, inner, result.begin() + static_cast<std::ptrdiff_t>(row * padded_inner));
  }
  return result;
}

std::vector<float> PaddedParameter::unpad(const std::vector<float>& padded) const {
  std::vector<float> result(outer * spatial * inner);
  for (std::size_t row = 0; row < outer * spatial; ++row) {
    const auto from = padded.begin() + static_cast<std::ptrdiff_t>(row * padded_inner);
    std::copy_n(from, inner, result.begin() + static_cast<std::ptrdiff_t>(row * inner));
  }
  return result;
}

PaddedPlan pad_channels(const Plan& plan, int multiple) {
  Padder padder(multiple);
  PaddedPlan result;
  Shape in = plan.shown;
  for (const PlannedOp& op : plan.ops) {
    OpDesc desc = op.desc;
    result.parameters.push_back(padder.pad(desc, in));
    result.ops.push_back(desc);
    in = out_shape(op.desc);
  }
  return result;
}

}  // namespace trainer
