// A network's values between its steps, for whoever saves, restores or shows them, and their moving averages
// (kernels/math/average.hpp), which stand beside them.
#include <fmt/format.h>
#include <stdexcept>

#include "models/network.hpp"

namespace trainer {

const Network::Weights* Network::weights_in(int arena) const {
  return arena == 0 ? &weights_ : arena == kAverages ? &averages_ : nullptr;
}

NetworkTensor Network::tested(NetworkTensor tensor) const {
  if (averages()) tensor.arena = kAverages;
  return tensor;
}

const PaddedParameter& Network::padding_of(const NetworkTensor& tensor) const {
  return lowered_.parameters[static_cast<std::size_t>(tensor.op)][static_cast<std::size_t>(tensor.parameter)];
}

float* Network::address_of(const NetworkTensor& tensor) const {
  const Slot& slot = stages_[tensor.op].slots[tensor.parameter];
  const Weights* weights = weights_in(tensor.arena);
  return weights != nullptr ? weights->of(slot) : slots_[tensor.arena - 1].floats() + slot.offset;
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
  const Weights* weights = weights_in(tensor.arena);
  void* cast = weights != nullptr ? cast_of(*weights, stages_[tensor.op].slots[tensor.parameter]) : nullptr;
  if (cast != nullptr) backend_.cast(address_of(tensor), cast, stored.size());
  if (tensor.arena == 0 && averages()) write(tested(tensor), values);
}

void Network::initialize(std::uint64_t seed) {
  int index = 0;
  for (const NetworkTensor& tensor : tensors_) {
    const PlannedParameter& parameter = plan().ops[tensor.op].parameters[tensor.parameter];
    if (tensor.arena == kAverages) break;  // they are written
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

void Network::move_averages() {
  const auto move = [&](const Buffer& values, const Buffer& averages, void* cast) {
    if (values.bytes() == 0) return;
    backend_.average({static_cast<float>(*plan().average), values.bytes() / sizeof(float), values.floats(),
                      averages.floats(), cast, states_.as<StepState>()});
  };
  move(weights_.parameters, averages_.parameters, averages_.casts.data());
  move(weights_.statistics, averages_.statistics, nullptr);
}

void Network::evaluate_step(const StepInput& input) {
  const Pass pass{Mode::inference, states_.as<StepState>() + 1};
  forward(input, pass, nullptr);
  backend_.advance(pass.state);
}

void Network::list_averages() {
  const std::size_t count = tensors_.size();
  for (std::size_t i = 0; i < count && tensors_[i].arena == 0; ++i) {
    tensors_.push_back(tested(tensors_[i]));
    tensors_.back().name += kAverageSuffix;
  }
}

}  // namespace trainer
