// A network's memory: where each array is, and how each parameter learns.
#include <algorithm>
#include <fmt/format.h>

#include "kernels/bump_allocator.hpp"
#include "kernels/math/muon.hpp"
#include "models/network.hpp"

namespace trainer {

namespace {

// Every tensor starts at an address that is aligned for a GPU.
std::size_t aligned(std::size_t bytes) {
  return DeviceAllocator::aligned(bytes);
}

// The floats up to the next tensor, which is also aligned in a copy of the arena with elements of half the size.
std::size_t aligned_floats(std::size_t count) {
  return 2 * aligned(2 * count) / sizeof(float);
}

bool is_residual(const Op& op, bool second) {
  const auto* residual = std::get_if<ResidualDesc>(&op.desc());
  return residual != nullptr && residual->second == second;
}

const char* slot_name(OptimizerKind kind, int slot) {
  switch (kind) {
    case OptimizerKind::sgd:
    case OptimizerKind::muon:
      return "momentum";
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return slot == 0 ? "adam_m" : "adam_v";
    case OptimizerKind::adadelta:
      return slot == 0 ? "square_avg" : "delta_avg";
  }
  return "";
}

}  // namespace

void Network::allocate_parameters() {
  std::size_t trained = 0;
  std::size_t statistics = 0;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const std::vector<PlannedParameter>& parameters = plan().ops[i].parameters;
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      const std::size_t count = stages_[i].op->stored_count(static_cast<int>(p));
      const bool learns = is_trained(parameters[p].desc.role);
      std::size_t& end = learns ? trained : statistics;
      stages_[i].slots.push_back({end, learns});
      if (learns) allocate_learner(i, p, {.offset = end, .count = count});
      end += aligned_floats(count);
    }
  }
  for (Weights* weights : {&weights_, &averages_}) {
    if (weights == &averages_ && !averages()) continue;
    weights->parameters = backend_.allocate(trained * sizeof(float), "the parameters");
    weights->statistics = backend_.allocate(statistics * sizeof(float), "the running statistics");
    if (backend_.element() != Element::fp32)
      weights->casts = backend_.allocate(trained * element_bytes(backend_.element()), "the cast weights");
  }
  if (purpose_ == Purpose::inference) return;
  gradients_ = backend_.allocate(trained * sizeof(float), "the gradients");
  for (int s = 0; s < slot_count_; ++s)
    slots_[s] = backend_.allocate(trained * sizeof(float), "the optimiser's state");
}

// Records how parameter p of op i learns.
void Network::allocate_learner(std::size_t i, std::size_t p, Segment segment) {
  if (purpose_ == Purpose::inference) return;
  const PlannedParameter& parameter = plan().ops[i].parameters[p];
  segment.rate_factor = parameter.rate_factor;
  segment.decay = parameter.decay;
  segment.cast_gradient = p == 0 && stages_[i].op->casts_dw();
  segment.optimizer = parameter.optimizer;
  if (!takes_matrices(optimizers_.at(segment.optimizer))) {
    segments_.push_back(segment);
    return;
  }
  const ParameterDesc stored = trainer::parameters(lowered_.ops[i]).at(p);
  const int rows = stored.shape.front();
  const auto columns = static_cast<int>(stored.count() / static_cast<std::size_t>(rows));
  const float factor = muon_factor(parameter.desc.shape.front(), parameter.desc.fan_in);
  matrices_.push_back({segment, stages_[i].op.get(), rows, columns, factor});
}

std::size_t Network::map_bytes(const Shape& shape) const {
  return aligned(plan().input.batch * shape.size() * element_bytes(backend_.element()));
}

void Network::allocate_activations() {
  const auto batch = static_cast<std::size_t>(plan().input.batch);
  std::size_t maps = map_bytes(plan().shown);
  std::size_t largest = 0;
  std::size_t saved = 0;
  std::vector<std::size_t> map_at;
  std::vector<std::size_t> saved_at;
  std::size_t workspace = backend_.update_workspace_bytes(matrices_);
  for (const Stage& stage : stages_) {
    workspace = std::max(workspace, stage.op->workspace_bytes());
    const Shape out = out_shape(stage.op->desc());
    map_at.push_back(maps);
    saved_at.push_back(saved);
    if (!is_residual(*stage.op, false))
      maps += &stage == &stages_.back() ? aligned(batch * out.size() * sizeof(float)) : map_bytes(out);
    saved += aligned(stage.op->saved_bytes());
    largest = std::max(largest, map_bytes(out));
  }
  workspace_ = backend_.allocate(workspace, "the workspace");
  activations_ = backend_.allocate(maps, "the activations");
  saved_ = backend_.allocate(saved, "what backward needs of forward");
  labels_ = backend_.allocate(batch, "the batch's labels");
  states_ = backend_.allocate(2 * sizeof(StepState), "the step's counters");
  x_ = activations_.data();
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    stages_[i].y = is_residual(*stages_[i].op, false) ? stages_[i - 1].y : x_ + map_at[i];
    stages_[i].saved = saved_.data() + saved_at[i];
  }
  if (purpose_ == Purpose::inference) return;
  if (std::get<HeadDesc>(plan().ops.back().desc).selection.selects())
    selected_ = backend_.allocate(batch, "which images are backpropagated");
  const bool alternate = !backend_.chains_shards();
  std::size_t gradients = alternate ? 2 * largest : 0;
  std::vector<std::size_t> gradient_at;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    // The gradient of a residual block's y is read again at the block's first end.
    const bool own = !alternate || (i > 0 && is_residual(*stages_[i - 1].op, true));
    gradient_at.push_back(own ? gradients : i % 2 * largest);
    const bool shared = is_residual(*stages_[i].op, true);  // dx is the next stage's
    if (own && !shared && plan().ops[i].wants_dx) gradients += map_bytes(in_shape(stages_[i].op->desc()));
  }
  gradient_maps_ = backend_.allocate(gradients, "the gradients of the activations");
  for (std::size_t i = stages_.size(); i-- > 0;)
    stages_[i].dx =
        is_residual(*stages_[i].op, true) ? stages_[i + 1].dx : gradient_maps_.data() + gradient_at[i];
}

void Network::list_tensors() {
  for (int arena = 0; arena <= slot_count_; ++arena) {
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const std::vector<PlannedParameter>& parameters = plan().ops[i].parameters;
      for (std::size_t p = 0; p < parameters.size(); ++p) {
        std::string name = parameters[p].name;
        if (arena > 0) {
          const Optimizer& optimizer = optimizers_[parameters[p].optimizer];
          if (!stages_[i].slots[p].trained || arena > optimizer_slots(optimizer)) continue;
          name += fmt::format(".{}", slot_name(optimizer.kind, arena - 1));
        }
        tensors_.push_back({name, parameters[p].desc.shape, parameters[p].desc.count(), static_cast<int>(i),
                            static_cast<int>(p), arena});
      }
    }
  }
  if (averages()) list_averages();
}

}  // namespace trainer
