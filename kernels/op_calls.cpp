// What every op does around its launches on any engine: its arguments are set by role and checked before they are used, and
// parameters are stored as they are unless an engine has a layout of its own.
#include <algorithm>
#include <fmt/format.h>
#include <stdexcept>

#include "kernels/op.hpp"

namespace trainer {

void OpArgs::bind(ParameterRole role, float* value, float* gradient) {
  switch (role) {
    case ParameterRole::weight:
    case ParameterRole::gamma:
      w = value;
      dw = gradient;
      break;
    case ParameterRole::bias:
    case ParameterRole::beta:
      b = value;
      db = gradient;
      break;
    case ParameterRole::running_mean:
      running_mean = value;
      break;
    case ParameterRole::running_variance:
      running_variance = value;
      break;
  }
}

std::size_t Op::stored_count(int index) const {
  return parameters(desc_).at(static_cast<std::size_t>(index)).count();
}

void Op::store(int index, const float* canonical, float* stored) const {
  std::copy_n(canonical, stored_count(index), stored);
}

void Op::fetch(int index, const float* stored, float* canonical) const {
  std::copy_n(stored, stored_count(index), canonical);
}

namespace {

void require(const OpDesc& desc, const void* pointer, const char* name) {
  if (pointer == nullptr) throw std::logic_error(fmt::format("{}: {} is null", describe(desc), name));
}

// Whether the op has a weight or a gamma.
bool has_w(const OpDesc& desc) {
  const std::vector<ParameterDesc> all = parameters(desc);
  return !all.empty() &&
         (all.front().role == ParameterRole::weight || all.front().role == ParameterRole::gamma);
}

// Checks what both directions need besides x, y and their gradients.
void require_common(const Op& op, const OpArgs& args) {
  const OpDesc& desc = op.desc();
  if (has_w(desc)) require(desc, args.w, "w");
  if (op.saved_bytes() > 0 && args.mode == Mode::training) require(desc, args.saved, "saved");
  if (op.workspace_bytes() > 0) require(desc, args.workspace, "workspace");
  if (std::holds_alternative<ResidualDesc>(desc)) require(desc, args.skip, "skip");
  if (const auto* head = std::get_if<HeadDesc>(&desc)) {
    require(desc, args.labels, "labels");
    if (head->selection.selects() && args.mode == Mode::training) require(desc, args.selected, "selected");
  }
  require(desc, args.state, "state");
}

}  // namespace

void Op::forward(const OpArgs& args) {
  require(desc_, args.x, "x");
  require(desc_, args.y, "y");
  require_common(*this, args);
  run_forward(args);
}

void Op::backward(const OpArgs& args) {
  require(desc_, args.x, "x");
  require(desc_, args.y, "y");
  if (!std::holds_alternative<HeadDesc>(desc_)) require(desc_, args.dy, "dy");
  if (has_w(desc_)) require(desc_, args.dw, "dw");
  require_common(*this, args);
  run_backward(args);
}

}  // namespace trainer
