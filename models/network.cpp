// The training step, the evaluation step, and access to the values between steps. network_arenas.cpp allocates the memory.
#include "models/network.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <stdexcept>

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

float* Network::value_of(const Slot& slot) const {
  return (slot.trained ? parameters_ : statistics_).floats() + slot.offset;
}

void* Network::cast_of(const Slot& slot) const {
  if (backend_.element() == Element::fp32 || !slot.trained) return nullptr;
  return casts_.data() + slot.offset * element_bytes(backend_.element());
}

const PaddedParameter& Network::padding_of(const NetworkTensor& tensor) const {
  return lowered_.parameters[static_cast<std::size_t>(tensor.op)][static_cast<std::size_t>(tensor.parameter)];
}

float* Network::address_of(const NetworkTensor& tensor) const {
  const Slot& slot = stages_[tensor.op].slots[tensor.parameter];
  return tensor.arena == 0 ? value_of(slot) : slots_[tensor.arena - 1].floats() + slot.offset;
}

std::vector<float> Network::read(const NetworkTensor& tensor) const {
  const Op& op = *stages_[tensor.op].op;
  std::vector<float> stored(op.stored_count(tensor.parameter));
  backend_.download(stored.data(), reinterpret_cast<const std::byte*>(address_of(tensor)),
                    stored.size() * sizeof(float));
  const PaddedParameter& padding = padding_of(tensor);
  std::vector<float> padded(padding.padded_count());
  op.fetch(tensor.parameter, stored.data(), padded.data());
  return padding.unpad(padded);
}

void Network::write(const NetworkTensor& tensor, const std::vector<float>& values) {
  if (values.size() != tensor.count)
    throw std::logic_error(fmt::format("{}: {} values for {}", tensor.name, values.size(), tensor.count));
  const Op& op = *stages_[tensor.op].op;
  std::vector<float> stored(op.stored_count(tensor.parameter));
  op.store(tensor.parameter, padding_of(tensor).pad(values).data(), stored.data());
  backend_.upload(reinterpret_cast<std::byte*>(address_of(tensor)), stored.data(),
                  stored.size() * sizeof(float));
  void* cast = tensor.arena == 0 ? cast_of(stages_[tensor.op].slots[tensor.parameter]) : nullptr;
  if (cast != nullptr) backend_.cast(address_of(tensor), cast, stored.size());
}

void Network::initialize(std::uint64_t seed) {
  int index = 0;
  for (const NetworkTensor& tensor : tensors_) {
    const PlannedParameter& parameter = plan().ops[tensor.op].parameters[tensor.parameter];
    write(tensor,
          tensor.arena == 0 ? initial_values(parameter, seed, index++) : std::vector<float>(tensor.count));
  }
}

Network::States Network::read_states() const {
  StepState both[2];
  backend_.download(both, states_.data(), sizeof(both));
  return {both[0], both[1]};
}

void Network::write_training_state(const StepState& state) {
  backend_.upload(states_.data(), &state, sizeof(state));
}

void Network::write_evaluation_state(const StepState& state) {
  backend_.upload(states_.data() + sizeof(state), &state, sizeof(state));
}

std::vector<float> Network::read_logits() const {
  std::vector<float> logits(static_cast<std::size_t>(plan().input.batch) * plan().input.classes);
  backend_.download(logits.data(), stages_.back().y, logits.size() * sizeof(float));
  return logits;
}

OpArgs Network::arguments(std::size_t index, const Pass& pass) const {
  const Stage& stage = stages_[index];
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
    args.bind(role, value_of(slot), learns ? gradients_.floats() + slot.offset : nullptr);
    if (role == ParameterRole::weight) args.cast_w = cast_of(slot);
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
                          pass.mode == Mode::training ? input.augmentation : at_test(input.augmentation)};
  const bool gathers = stages_.front().op->gathers() && !gather.augmentation.any();
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
                     parameters_.floats(), casts_.data(), gradients_.floats(), slots_[0].floats(),
                     slots_[1].floats(), pass.state, workspace_.data()});
  });
}

void Network::evaluate_step(const StepInput& input) {
  const Pass pass{Mode::inference, states_.as<StepState>() + 1};
  forward(input, pass, nullptr);
  backend_.advance(pass.state);
}

Network::Memory Network::memory() const {
  return {parameters_.bytes() + casts_.bytes() + statistics_.bytes(), gradients_.bytes(),
          slots_[0].bytes() + slots_[1].bytes(),
          activations_.bytes() + gradient_maps_.bytes() + saved_.bytes(), workspace_.bytes()};
}

}  // namespace trainer
