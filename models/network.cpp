// The training step and the evaluation step. network_arenas.cpp allocates the memory, network_values.cpp reads and writes it between steps.
#include "models/network.hpp"

#include <algorithm>

namespace trainer {

namespace {

void launch_observed(StepObserver* observer, const StepPart& part, const auto& launch) {
  if (observer != nullptr) observer->before(part);
  launch();
  if (observer != nullptr) observer->after(part);
}

}  // namespace

Network::Network(const Plan& plan, Backend& backend, Purpose purpose,
                 const std::vector<Optimizer>& optimizers)
    : lowered_(lower(plan, backend)), backend_(backend), purpose_(purpose), optimizers_(optimizers) {
  for (const Optimizer& optimizer : optimizers)
    slot_count_ = std::max(slot_count_, optimizer_slots(optimizer));
  prepare_ops();
  allocate_parameters();
  allocate_activations();
  if (purpose == Purpose::training && backend.part().ranks != nullptr) prepare_exchange();
  list_tensors();
}

void Network::prepare_ops() {
  for (std::size_t i = 0; i < lowered_.ops.size(); ++i) {
    OpDesc& desc = lowered_.ops[i];
    MapContract* map = i > 0 ? x_map(desc) : nullptr;
    if (map != nullptr && map->selected_rows > 0)
      map->selected_only = stages_[i - 1].op->reads_selected_rows();
    stages_.emplace_back().op = backend_.prepare(desc, plan().input.batch, plan().ops[i].wants_dx);
  }
}

void* Network::cast_of(const Weights& weights, const Slot& slot) const {
  if (backend_.element() == Element::fp32 || !slot.trained) return nullptr;
  return weights.casts.data() + slot.offset * element_bytes(backend_.element());
}

OpArgs Network::arguments(std::size_t index, const Pass& pass) const {
  const Stage& stage = stages_[index];
  const Weights& weights = pass.mode == Mode::inference && averages() ? averages_ : weights_;
  OpArgs args;
  args.mode = pass.mode;
  args.state = pass.state;
  args.steps = pass.steps;
  if (pass.mode == Mode::training) args.selected = selected_.as<std::uint8_t>();
  args.x = index == 0 ? x_ : stages_[index - 1].y;
  args.y = stage.y;
  args.saved = stage.saved;
  args.workspace = workspace_.data();
  args.labels = labels_.as<std::uint8_t>();
  for (std::size_t p = 0; p < stage.slots.size(); ++p) {
    const Slot& slot = stage.slots[p];
    const ParameterRole role = plan().ops[index].parameters[p].desc.role;
    const bool learns = pass.mode == Mode::training && slot.trained;
    args.bind(role, weights.of(slot), learns ? gradients_.floats() + slot.offset : nullptr);
    if (role == ParameterRole::weight) args.cast_w = cast_of(weights, slot);
  }
  return args;
}

// Opens the step, unless the first op does so itself, and runs every op.
void Network::forward(const StepInput& input, const Pass& pass, StepObserver* observer) {
  const Shape& image = plan().input.image;
  const GatherArgs gather{input.batching,
                          image,
                          plan().shown,
                          (image.h - plan().shown.h) / 2,
                          (image.w - plan().shown.w) / 2,
                          input.scaling.scale,
                          input.scaling.shift,
                          input.images,
                          input.labels,
                          x_,
                          labels_.as<std::uint8_t>(),
                          pass.state,
                          pass.mode == Mode::training ? input.augmentation : at_test(input.augmentation),
                          input.scaling.by_image};
  const bool gathers = stages_.front().op->gathers() && !gather.needs_whole_images();
  if (!gathers) launch_observed(observer, {StepPart::Kind::gather}, [&] { backend_.gather(gather); });
  const void* skip = nullptr;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    OpArgs args = arguments(i, pass);
    if (args.x == args.y) {  // a residual block begins
      skip = args.x;
      continue;
    }
    args.skip = skip;
    if (i == 0 && gathers) args.gather = &gather;
    launch_observed(observer, {StepPart::Kind::forward, static_cast<int>(i)},
                    [&] { stages_[i].op->forward(args); });
  }
}

// Goes from the head, which computes its own gradient, back to the first op that learns.
void Network::backward(const Pass& pass, StepObserver* observer) {
  const void *dy = nullptr, *skip = nullptr;
  for (std::size_t i = stages_.size(); i-- > 0;) {
    OpArgs args = arguments(i, pass);
    args.dy = dy;
    args.dx = plan().ops[i].wants_dx ? stages_[i].dx : nullptr;
    if (dy != nullptr && args.dx == dy) {  // a residual block ends
      skip = dy;
      continue;
    }
    args.skip = skip;
    launch_observed(observer, {StepPart::Kind::backward, static_cast<int>(i)},
                    [&] { stages_[i].op->backward(args); });
    if (!plan().ops[i].wants_dx) return;
    dy = args.dx;
  }
}

void Network::train_step(const StepInput& input, const TrainingRule& rule, StepObserver* observer) {
  const Pass pass{Mode::training, states_.as<StepState>(), rule.schedule.steps};
  forward(input, pass, observer);
  backward(pass, observer);
  if (exchange_)
    launch_observed(observer, {StepPart::Kind::exchange},
                    [&] { exchange_->run(gradients_.floats(), pass.state); });
  launch_observed(observer, {StepPart::Kind::update}, [&] {
    backend_.update({&rule.optimizers, rule.schedule, input.batching, &segments_, &matrices_,
                     weights_.parameters.floats(), weights_.casts.data(), gradients_.floats(),
                     slots_[0].floats(), slots_[1].floats(), pass.state, workspace_.data(), rule.clip_norm,
                     gradients_.bytes() / sizeof(float)});
    if (averages()) move_averages();
  });
}

Network::Memory Network::memory() const {
  return {weights_.bytes() + averages_.bytes(), gradients_.bytes(), slots_[0].bytes() + slots_[1].bytes(),
          activations_.bytes() + gradient_maps_.bytes() + saved_.bytes(), workspace_.bytes()};
}

}  // namespace trainer
