#include "models/lower.hpp"

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace trainer {

namespace {

// Pads one op after the other and keeps track of the number of channels of the map between them.
class Padder {
 public:
  Padder(int multiple, int channels) : multiple_(multiple), channels_(channels) {}

  // Pads `desc`; `in` is the true shape of its input.
  std::vector<PaddedParameter> pad(OpDesc& desc, const Shape& in) {
    return std::visit([&](auto& d) { return pad_op(d, in); }, desc);
  }

 private:
  int padded(int count) const { return (count + multiple_ - 1) / multiple_ * multiple_; }

  // Weight [out, spatial, in] and bias [out] of an op that makes `out` channels.
  std::vector<PaddedParameter> product(int& out, int spatial, int in, bool bias, bool pads_out) {
    PaddedParameter weight{size(out), size(spatial), size(in), size(out), size(channels_)};
    if (pads_out) weight.padded_outer = size(padded(out));
    std::vector<PaddedParameter> all{weight};
    if (bias) all.push_back({weight.outer, 1, 1, weight.padded_outer, 1});
    out = channels_ = static_cast<int>(weight.padded_outer);
    return all;
  }

  std::vector<PaddedParameter> pad_op(ConvDesc& d, const Shape& in) {
    d.in.c = channels_;
    return product(d.out, d.kernel * d.kernel, in.c, d.bias, true);
  }
  std::vector<PaddedParameter> pad_op(DenseDesc& d, const Shape& in) {
    d.in = in.h * in.w * channels_;
    return product(d.out, in.h * in.w, in.c, d.bias, true);
  }
  std::vector<PaddedParameter> pad_op(HeadDesc& d, const Shape& in) {
    d.in = in.h * in.w * channels_;
    return product(d.classes, in.h * in.w, in.c, d.bias, false);
  }
  std::vector<PaddedParameter> pad_op(BatchNormDesc& d, const Shape& in) {
    d.in.c = channels_;
    return {parameters(d).size(), PaddedParameter{size(in.c), 1, 1, size(channels_), 1}};
  }
  // No layer of a plan becomes this op: fuse_norms() makes it from two padded ones.
  std::vector<PaddedParameter> pad_op(NormalisedDesc& d, const Shape& /*in*/) {
    throw std::logic_error(describe(d) + " is padded before it is fused");
  }
  std::vector<PaddedParameter> pad_op(auto& d, const Shape& /*in*/) {
    d.in.c = channels_;
    return {};
  }

  static std::size_t size(int count) { return static_cast<std::size_t>(count); }

  int multiple_;
  int channels_;  // the channels of the padded map that the next op reads
};

// The two ops fused into one; nothing if they do not form a NormalisedDesc.
std::optional<NormalisedDesc> normalised(const OpDesc& product, const OpDesc& next) {
  const auto* norm = std::get_if<BatchNormDesc>(&next);
  if (norm == nullptr || norm->gamma) return std::nullopt;
  const auto plain = [](const auto* desc) { return desc != nullptr && !desc->bias && !desc->relu; };
  const auto* conv = std::get_if<ConvDesc>(&product);
  if (plain(conv)) return NormalisedDesc{*conv, *norm};
  const auto* dense = std::get_if<DenseDesc>(&product);
  if (plain(dense)) return NormalisedDesc{*dense, *norm};
  return std::nullopt;
}

template <typename T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

LoweredPlan fuse_norms(const LoweredPlan& padded, const Backend& backend) {
  LoweredPlan fused{padded.plan, {}, {}};
  fused.plan.ops.clear();
  for (std::size_t i = 0; i < padded.ops.size(); ++i) {
    PlannedOp op = padded.plan.ops[i];
    OpDesc runs = padded.ops[i];
    std::vector<PaddedParameter> parameters = padded.parameters[i];
    const auto both = i + 1 < padded.ops.size() ? normalised(runs, padded.ops[i + 1]) : std::nullopt;
    if (both && backend.fuses(*both, padded.plan.input.batch, op.wants_dx)) {
      const PlannedOp& norm = padded.plan.ops[++i];
      op.desc = *normalised(op.desc, norm.desc);
      append(op.layers, norm.layers);
      append(op.parameters, norm.parameters);
      append(parameters, padded.parameters[i]);
      runs = *both;
    }
    fused.plan.ops.push_back(std::move(op));
    fused.ops.push_back(runs);
    fused.parameters.push_back(std::move(parameters));
  }
  return fused;
}

// How many rows of a full batch are backpropagated once the selection has begun; 0 if the recipe does not select, and for one of
// several ranks, of whose rows another number is selected in every step.
int selected_rows_of(const Plan& plan, const RankPart& part) {
  const Selection& keep = std::get<HeadDesc>(plan.ops.back().desc).selection;
  if (!keep.selects() || (part.ranks != nullptr && part.ranks->size() > 1)) return 0;
  return selected_rows({keep.fraction, 0}, 0, 1, plan.input.batch);
}

// The head reads x anyway while it writes dx, so it masks for a dense layer with a ReLU.
bool masks_for(const OpDesc& op, const OpDesc& next) {
  const auto* dense = std::get_if<DenseDesc>(&op);
  return dense != nullptr && dense->relu && std::holds_alternative<HeadDesc>(next);
}

void agree_on_maps(LoweredPlan& lowered, const Backend& backend) {
  const int selected_rows = selected_rows_of(lowered.plan, backend.part());
  for (std::size_t i = 0; i + 1 < lowered.ops.size(); ++i) {
    OpDesc& op = lowered.ops[i];
    OpDesc& next = lowered.ops[i + 1];
    MapContract map;
    map.bf16 = backend.keeps_map_in_bf16(op, lowered.plan.ops[i].wants_dx, next);
    map.masked = map.bf16 || masks_for(op, next);
    map.selected_rows = selected_rows;
    if (MapContract* side = y_map(op)) *side = map;
    if (MapContract* side = x_map(next)) *side = map;
  }
}

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

LoweredPlan pad_channels(const Plan& plan, int multiple) {
  LoweredPlan padded{plan, {}, {}};
  Padder padder(multiple, plan.shown.c);
  Shape in = plan.shown;
  for (const PlannedOp& op : plan.ops) {
    padded.ops.push_back(op.desc);
    padded.parameters.push_back(padder.pad(padded.ops.back(), in));
    in = out_shape(op.desc);
  }
  return padded;
}

LoweredPlan lower(const Plan& plan, const Backend& backend) {
  LoweredPlan lowered = pad_channels(plan, backend.channel_multiple());
  lowered = fuse_norms(lowered, backend);
  agree_on_maps(lowered, backend);
  return lowered;
}

}  // namespace trainer
