// Booking of arenas, and the two steps.
#include "models/network.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <stdexcept>

#include "models/initialize.hpp"

namespace trainer {

namespace {

constexpr std::size_t kAlignment = 256;  // bytes: every tensor starts at a multiple

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Floats to the start of the next tensor: aligned too where the arena's copy has elements of half the size.
std::size_t aligned_floats(std::size_t count) {
  return 2 * aligned(2 * count) / sizeof(float);
}

const char* slot_name(OptimizerKind kind, int slot) {
  switch (kind) {
    case OptimizerKind::sgd:
      return "momentum";
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return slot == 0 ? "adam_m" : "adam_v";
    case OptimizerKind::adadelta:
      return slot == 0 ? "square_avg" : "delta_avg";
  }
  return "";
}

void launch_observed(StepObserver* observer, const StepPart& part, const auto& launch) {
  if (observer != nullptr) observer->before(part);
  launch();
  if (observer != nullptr) observer->after(part);
}

}  // namespace

Network::Network(const Plan& plan, Backend& backend, Purpose purpose, const Optimizer& optimizer)
    : plan_(plan),
      padding_(pad_channels(plan, backend.channel_multiple())),
      backend_(backend),
      purpose_(purpose),
      slot_count_(purpose == Purpose::training ? optimizer_slots(optimizer) : 0) {
  prepare_ops();
  book_parameters();
  book_activations();
  list_tensors(optimizer);
}

void Network::prepare_ops() {
  std::size_t workspace = 0;
  for (const PlannedOp& planned : plan_.ops) {
    Stage stage;
    stage.op = backend_.prepare(padding_.ops[stages_.size()], plan_.input.batch, planned.wants_dx);
    workspace = std::max(workspace, stage.op->workspace_bytes());
    stages_.push_back(std::move(stage));
  }
  workspace_ = backend_.allocate(workspace, "the workspace");
}

void Network::book_parameters() {
  std::size_t trained = 0;
  std::size_t statistics = 0;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const std::vector<PlannedParameter>& parameters = plan_.ops[i].parameters;
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      const std::size_t count = stages_[i].op->stored_count(static_cast<int>(p));
      const bool learns = is_trained(parameters[p].desc.role);
      std::size_t& end = learns ? trained : statistics;
      stages_[i].slots.push_back({end, learns});
      const bool cast_gradient = p == 0 && stages_[i].op->casts_dw();
      if (learns)
        segments_.push_back({end, count, parameters[p].rate_factor, parameters[p].decay, cast_gradient});
      end += aligned_floats(count);
    }
  }
  parameters_ = backend_.allocate(trained * sizeof(float), "the parameters");
  statistics_ = backend_.allocate(statistics * sizeof(float), "the running statistics");
  if (backend_.element() != Element::fp32) {
    casts_ = backend_.allocate(trained * element_bytes(backend_.element()), "the cast weights");
  }
  if (purpose_ == Purpose::inference) return;
  gradients_ = backend_.allocate(trained * sizeof(float), "the gradients");
  for (int s = 0; s < slot_count_; ++s) {
    slots_[s] = backend_.allocate(trained * sizeof(float), "the optimiser's state");
  }
}

std::size_t Network::map_bytes(const Shape& shape) const {
  return aligned(static_cast<std::size_t>(plan_.input.batch) * shape.size() *
                 element_bytes(backend_.element()));
}

void Network::book_activations() {
  const auto batch = static_cast<std::size_t>(plan_.input.batch);
  std::size_t maps = map_bytes(plan_.input.image);
  std::size_t largest = 0;
  std::size_t saved = 0;
  std::vector<std::size_t> map_at;
  std::vector<std::size_t> saved_at;
  for (const Stage& stage : stages_) {
    const Shape out = out_shape(stage.op->desc());
    map_at.push_back(maps);
    saved_at.push_back(saved);
    maps += &stage == &stages_.back() ? aligned(batch * out.size() * sizeof(float)) : map_bytes(out);
    saved += aligned(stage.op->saved_bytes());
    largest = std::max(largest, map_bytes(out));
  }
  activations_ = backend_.allocate(maps, "the activations");
  saved_ = backend_.allocate(saved, "what backward needs of forward");
  labels_ = backend_.allocate(batch, "the batch's labels");
  states_ = backend_.allocate(2 * sizeof(StepState), "the step's counters");
  x_ = activations_.data();
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    stages_[i].y = x_ + map_at[i];
    stages_[i].saved = saved_.data() + saved_at[i];
  }
  if (purpose_ == Purpose::inference) return;
  gradient_maps_ = backend_.allocate(2 * largest, "the gradients of the activations");
  dmaps_[0] = gradient_maps_.data();
  dmaps_[1] = dmaps_[0] + largest;
}

void Network::list_tensors(const Optimizer& optimizer) {
  for (int arena = 0; arena <= slot_count_; ++arena) {
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const std::vector<PlannedParameter>& parameters = plan_.ops[i].parameters;
      for (std::size_t p = 0; p < parameters.size(); ++p) {
        if (arena > 0 && !stages_[i].slots[p].trained) continue;
        const std::string suffix = arena == 0 ? "" : fmt::format(".{}", slot_name(optimizer.kind, arena - 1));
        tensors_.push_back({parameters[p].name + suffix, parameters[p].desc.shape, parameters[p].desc.count(),
                            static_cast<int>(i), static_cast<int>(p), arena});
      }
    }
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
  return padding_.parameters[static_cast<std::size_t>(tensor.op)][static_cast<std::size_t>(tensor.parameter)];
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
  if (values.size() != tensor.count) {
    throw std::logic_error(fmt::format("{}: {} values for {}", tensor.name, values.size(), tensor.count));
  }
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
    const PlannedParameter& parameter = plan_.ops[tensor.op].parameters[tensor.parameter];
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
  std::vector<float> logits(static_cast<std::size_t>(plan_.input.batch) * plan_.input.classes);
  backend_.download(logits.data(), stages_.back().y, logits.size() * sizeof(float));
  return logits;
}

OpArgs Network::arguments(std::size_t index, Mode mode, StepState* state) const {
  const Stage& stage = stages_[index];
  OpArgs args;
  args.mode = mode;
  args.state = state;
  args.x = index == 0 ? x_ : stages_[index - 1].y;
  args.y = stage.y;
  args.saved = stage.saved;
  args.workspace = workspace_.data();
  args.labels = labels_.as<std::uint8_t>();
  const std::vector<Slot>& slots = stage.slots;
  const auto value = [&](std::size_t p) { return p < slots.size() ? value_of(slots[p]) : nullptr; };
  args.w = value(0);
  if (!slots.empty()) args.cast_w = cast_of(slots[0]);
  args.b = value(1);
  args.running_mean = value(2);
  args.running_variance = value(3);
  if (mode == Mode::training && !slots.empty()) {
    args.dw = gradients_.floats() + slots[0].offset;
    if (slots.size() > 1) args.db = gradients_.floats() + slots[1].offset;
  }
  return args;
}

// Opens the step and runs every op: the first one may open the step itself.
void Network::forward(const StepInput& input, Mode mode, StepState* state, StepObserver* observer) {
  const GatherArgs gather{input.batching,
                          plan_.input.image,
                          input.scaling.scale,
                          input.scaling.shift,
                          input.images,
                          input.labels,
                          x_,
                          labels_.as<std::uint8_t>(),
                          state};
  const bool gathers = stages_.front().op->gathers();
  if (!gathers) launch_observed(observer, {StepPart::Kind::gather}, [&] { backend_.gather(gather); });
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    OpArgs args = arguments(i, mode, state);
    if (i == 0 && gathers) args.gather = &gather;
    launch_observed(observer, {StepPart::Kind::forward, static_cast<int>(i)},
                    [&] { stages_[i].op->forward(args); });
  }
}

// From the head, which makes its own gradient, down to the first op that learns.
void Network::backward(StepObserver* observer) {
  StepState* state = states_.as<StepState>();
  const void* dy = nullptr;
  for (std::size_t i = stages_.size(); i-- > 0;) {
    OpArgs args = arguments(i, Mode::training, state);
    args.dy = dy;
    args.dx = plan_.ops[i].wants_dx ? dmaps_[i % 2] : nullptr;
    launch_observed(observer, {StepPart::Kind::backward, static_cast<int>(i)},
                    [&] { stages_[i].op->backward(args); });
    if (!plan_.ops[i].wants_dx) return;
    dy = args.dx;
  }
}

void Network::train_step(const StepInput& input, const TrainingRule& rule, StepObserver* observer) {
  StepState* state = states_.as<StepState>();
  forward(input, Mode::training, state, observer);
  backward(observer);
  launch_observed(observer, {StepPart::Kind::update}, [&] {
    backend_.update({rule.optimizer, rule.schedule, input.batching, &segments_, parameters_.floats(),
                     casts_.data(), gradients_.floats(), slots_[0].floats(), slots_[1].floats(), state});
  });
}

void Network::evaluate_step(const StepInput& input) {
  StepState* state = states_.as<StepState>() + 1;
  forward(input, Mode::inference, state, nullptr);
  backend_.advance(state);
}

Network::Memory Network::memory() const {
  return {parameters_.bytes() + casts_.bytes() + statistics_.bytes(), gradients_.bytes(),
          slots_[0].bytes() + slots_[1].bytes(),
          activations_.bytes() + gradient_maps_.bytes() + saved_.bytes(), workspace_.bytes()};
}

}  // namespace trainer
