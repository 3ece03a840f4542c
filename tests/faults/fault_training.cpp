#include "tests/faults/fault_training.hpp"

#include <span>

#include "tests/train/small_data.hpp"
#include "trainer/system/sha256.hpp"
#include "trainer/train/digest.hpp"

namespace trainer::test {

namespace {

constexpr const char* kNetwork = R"(name: faults
layers:
  - conv: {out: 6, kernel: 3, bias: false}
  - maxpool: {size: 2}
  - batchnorm: {gain: false, momentum: 0.3}
  - gelu
  - conv: {out: 16, kernel: 3}
  - relu
  - dropout: {drop: 0.2}
  - dense: {out: 24, bias: false}
  - batchnorm: {momentum: 0.3}
  - gelu
  - dense: {out: classes}
recipe:
  logit_scale: 0.5
  label_smoothing: 0.2
  optimizer: {adam: {beta1: 0.7, beta2: 0.9}}
  rate: 0.02
  groups:
    - weights: [conv1, conv2, dense1]
      optimizer: {muon: {momentum: 0.6, passes: 3}}
      rate: 0.05
  schedule: {linear: {warmup: 0.1, start: 0.5, end: 0.05}}
  batch: 16
  keep: {share: 0.35, from: 0.25}
  steps: 6
)";

void set(Marks::Hex& to, const std::string& digest) {
  std::memcpy(to, digest.c_str(), sizeof to);
}

}  // namespace

FaultTraining::FaultTraining(FaultKind kind)
    : engine_(make_engine(kind)),
      setup_(make_setup(parse_spec(kNetwork, "faults.yaml"), {},
                        data::load_dataset(write_small_data(folder_, {.train = 128, .test = 8})))),
      network_(setup_.plan, *engine_, Purpose::training, setup_.rule.optimizers),
      data_(*engine_, setup_) {
  network_.initialize(1);
  StepState state;
  state.seed = 1;
  network_.write_training_state(state);
}

Marks FaultTraining::marks() const {
  Sha256 weights;
  for (const NetworkTensor& tensor : network_.tensors()) {
    if (!is_parameter(tensor)) continue;
    const std::vector<float> values = network_.read(tensor);
    weights.update(std::as_bytes(std::span(values)));
  }
  Marks marks;
  set(marks.step, digest_with_optimizer(network_));
  set(marks.run, digest_of(network_));
  set(marks.weights, weights.hex());
  return marks;
}

std::size_t FaultTraining::parameters() const {
  std::size_t count = 0;
  for (const NetworkTensor& tensor : network_.tensors()) count += is_parameter(tensor) ? tensor.count : 0;
  return count;
}

bool FaultTraining::is_parameter(const NetworkTensor& tensor) const {
  const PlannedOp& op = network_.plan().ops[static_cast<std::size_t>(tensor.op)];
  return tensor.arena == 0 && is_trained(op.parameters[static_cast<std::size_t>(tensor.parameter)].desc.role);
}

std::size_t fault_network_parameters() {
  return FaultTraining(FaultKind::store).parameters();
}

}  // namespace trainer::test
