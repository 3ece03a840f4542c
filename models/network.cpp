// Booking of arenas, and the two steps.
#include "models/network.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <stdexcept>

#include "kernels/math/muon.hpp"
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

void launch_observed(StepObserver* observer, const StepPart& part, const auto& launch) {
  if (observer != nullptr) observer->before(part);
  launch();
  if (observer != nullptr) observer->after(part);
}

}  // namespace

Network::Network(const Plan& plan, Backend& backend, Purpose purpose,
                 const std::vector<Optimizer>& optimizers)
    : plan_(plan),
      padding_(pad_channels(plan, backend.channel_multiple())),
      backend_(backend),
      purpose_(purpose),
      optimizers_(optimizers) {
  for (const Optimizer& optimizer : optimizers)
    slot_count_ = std::max(slot_count_, optimizer_slots(optimizer));
  prepare_ops();
  book_parameters();
  book_activations();
  list_tensors();
}

void Network::prepare_ops() {
  for (const PlannedOp& planned : plan_.ops) {
    Stage stage;
    stage.op = backend_.prepare(padding_.ops[stages_.size()], plan_.input.batch, planned.wants_dx);
    stages_.push_back(std::move(stage));
  }
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
      if (learns) book_learner(i, p, {.offset = end, .count = count});
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

// Notes how parameter p of op i learns.
void Network::book_learner(std::size_t i, std::size_t p, Segment segment) {
  if (purpose_ == Purpose::inference) return;
  const PlannedParameter& parameter = plan_.ops[i].parameters[p];
  segment.rate_factor = parameter.rate_factor;
  segment.decay = parameter.decay;
  segment.cast_gradient = p == 0 && stages_[i].op->casts_dw();
  segment.optimizer = parameter.optimizer;
  if (!takes_matrices(optimizers_.at(segment.optimizer))) {
    segments_.push_back(segment);
    return;
  }
  const ParameterDesc stored = trainer::parameters(padding_.ops[i]).at(p);
  const int rows = stored.shape.front();
  const auto columns = static_cast<int>(stored.count() / static_cast<std::size_t>(rows));
  const float factor = muon_factor(parameter.desc.shape.front(), parameter.desc.fan_in);
  matrices_.push_back({segment, stages_[i].op.get(), rows, columns, factor});
}

std::size_t Network::map_bytes(const Shape& shape) const {
  return aligned(static_cast<std::size_t>(plan_.input.batch) * shape.size() *
                 element_bytes(backend_.element()));
}

void Network::book_activations() {
  const auto batch = static_cast<std::size_t>(plan_.input.batch);
  std::size_t maps = map_bytes(plan_.shown);
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
    stages_[i].y = x_ + map_at[i];
    stages_[i].saved = saved_.data() + saved_at[i];
  }
  if (purpose_ == Purpose::inference) return;
  gradient_maps_ = backend_.allocate(2 * largest, "the gradients of the activations");
  dmaps_[0] = gradient_maps_.data();
  dmaps_[1] = dmaps_[0] + largest;
}

void Network::list_tensors() {
  for (int arena = 0; arena <= slot_count_; ++arena) {
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const std::vector<PlannedParameter>& parameters = plan_.ops[i].parameters;
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
  for (std::size_t p = 0; p < stage.slots.size(); ++p) {
    const Slot& slot = stage.slots[p];
    const ParameterRole role = plan_.ops[index].parameters[p].desc.role;
    const bool learns = mode == Mode::training && slot.trained;
    args.bind(role, value_of(slot), learns ? gradients_.floats() + slot.offset : nullptr);
    if (role == ParameterRole::weight) args.cast_w = cast_of(slot);
  }
  return args;
}

// Opens the step and runs every op: the first one may open the step itself.
void Network::forward(const StepInput& input, Mode mode, StepState* state, StepObserver* observer) {
  const Shape& image = plan_.input.image;
  const GatherArgs gather{input.batching,
                          image,
                          plan_.shown,
                          (image.h - plan_.shown.h) / 2,
                          (image.w - plan_.shown.w) / 2,
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
    backend_.update({&rule.optimizers, rule.schedule, input.batching, &segments_, &matrices_,
                     parameters_.floats(), casts_.data(), gradients_.floats(), slots_[0].floats(),
                     slots_[1].floats(), state, workspace_.data()});
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
