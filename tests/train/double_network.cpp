#include "tests/train/double_network.hpp"

#include <utility>

namespace trainer::test {

DoubleNetwork::DoubleNetwork(const Setup& setup, const Network& network)
    : setup_(setup), plan_(network.plan()) {
  for (const PlannedOp& op : plan_.ops) learners_.emplace_back(op.parameters.size());
  for (const NetworkTensor& tensor : network.tensors()) {
    const std::vector<float> values = network.read(tensor);
    reference::Learner& learner = learners_[tensor.op][tensor.parameter];
    learner.slot0.resize(values.size());
    learner.slot1.resize(values.size());
    values_of(tensor).assign(values.begin(), values.end());
  }
}

reference::Values& DoubleNetwork::values_of(const NetworkTensor& tensor) {
  reference::Learner& learner = learners_[tensor.op][tensor.parameter];
  return tensor.arena == 0 ? learner.w : tensor.arena == 1 ? learner.slot0 : learner.slot1;
}

double DoubleNetwork::step(const reference::StepImages& images, std::uint64_t step) {
  std::vector<reference::Tensors> tensors(plan_.ops.size());
  reference::Values x = gathered(images.images), skip;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    reference::Tensors& t = tensors[i];
    t.batch = t.valid = static_cast<int>(images.images.size());
    t.seed = setup_.settings.seed;
    t.step = step;
    t.steps = setup_.rule.schedule.steps;
    for (const std::uint32_t image : images.images) t.labels.push_back(setup_.dataset.train.labels[image]);
    t.x = std::move(x);
    for (const reference::Learner& learner : learners_[i]) t.parameters.push_back(learner.w);
    if (const auto* residual = std::get_if<ResidualDesc>(&plan_.ops[i].desc)) {
      if (!residual->second) skip = t.x;
      t.skip = residual->second ? skip : reference::Values(t.x.size());
    }
    forward(plan_.ops[i].desc, t);
    x = t.y;
  }
  for (std::size_t i = tensors.size(); i-- > 0;) {
    if (i + 1 < tensors.size()) tensors[i].dy = tensors[i + 1].dx;
    tensors[i].kept = tensors.back().kept;
    if (const auto* residual = std::get_if<ResidualDesc>(&plan_.ops[i].desc)) {
      if (residual->second) skip = tensors[i].dy;
      tensors[i].skip = residual->second ? reference::Values(skip.size()) : skip;
    }
    backward(plan_.ops[i].desc, tensors[i]);
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) learn(i, tensors[i], images.epoch, step);
  return tensors.back().loss / tensors.back().valid;
}

void DoubleNetwork::hand_over(Network& network) {
  for (const NetworkTensor& tensor : network.tensors()) {
    reference::Values& values = values_of(tensor);
    const std::vector<float> rounded(values.begin(), values.end());
    values.assign(rounded.begin(), rounded.end());
    network.write(tensor, rounded);
  }
}

reference::Values DoubleNetwork::gathered(const std::vector<std::uint32_t>& images) const {
  const data::Dataset& dataset = setup_.dataset;
  const Shape& shown = setup_.plan.shown;
  const Shape& image = setup_.plan.input.image;
  const int top = (image.h - shown.h) / 2;
  const int left = (image.w - shown.w) / 2;
  reference::Values x;
  for (const std::uint32_t index : images) {
    const std::uint8_t* pixels = dataset.train.images.data() + index * image.size();
    for (int row = top; row < top + shown.h; ++row) {
      for (int at = left * image.c; at < (left + shown.w) * image.c; ++at) {
        x.push_back(pixels[row * image.w * image.c + at] * static_cast<double>(setup_.scaling.scale) +
                    setup_.scaling.shift);
      }
    }
  }
  return x;
}

// The trained parameters come first; running statistics are as forward left them.
void DoubleNetwork::learn(std::size_t op, const reference::Tensors& t, std::uint64_t epoch,
                          std::uint64_t step) {
  const Schedule& schedule = setup_.rule.schedule;
  for (std::size_t p = 0; p < learners_[op].size(); ++p) {
    reference::Learner& learner = learners_[op][p];
    const PlannedParameter& planned = plan_.ops[op].parameters[p];
    if (p >= t.gradients.size()) {
      learner.w = t.parameters[p];
      continue;
    }
    const Optimizer& optimizer = setup_.rule.optimizers[planned.optimizer];
    if (takes_matrices(optimizer)) {
      const int rows = planned.desc.shape.front();
      const reference::Matrix matrix{rows, static_cast<int>(learner.w.size()) / rows, planned.rate_factor,
                                     planned.decay};
      reference::update_matrix(optimizer, schedule, matrix, step, epoch, t.gradients[p], learner);
    } else {
      const Segment whole{0, learner.w.size(), planned.rate_factor, planned.decay};
      reference::update(optimizer, schedule, {whole}, step, epoch, t.gradients[p], learner);
    }
  }
}

}  // namespace trainer::test
