#include "models/fused_norms.hpp"

#include <optional>

#include "models/padding.hpp"

namespace trainer {

namespace {

// Nothing where the two are not what a NormalisedDesc is made of.
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

void append(PlannedOp& op, const PlannedOp& next) {
  op.layers.insert(op.layers.end(), next.layers.begin(), next.layers.end());
  op.parameters.insert(op.parameters.end(), next.parameters.begin(), next.parameters.end());
}

}  // namespace

Plan fuse_norms(const Plan& plan, const Backend& backend) {
  const std::vector<OpDesc> padded = pad_channels(plan, backend.channel_multiple()).ops;
  Plan fused = plan;
  fused.ops.clear();
  for (std::size_t i = 0; i < plan.ops.size(); ++i) {
    PlannedOp op = plan.ops[i];
    const auto runs = i + 1 < padded.size() ? normalised(padded[i], padded[i + 1]) : std::nullopt;
    if (runs && backend.fuses(*runs, plan.input.batch, op.wants_dx)) {
      append(op, plan.ops[i + 1]);
      op.desc = *normalised(op.desc, plan.ops[i + 1].desc);
      ++i;
    }
    fused.ops.push_back(op);
  }
  return fused;
}

}  // namespace trainer
