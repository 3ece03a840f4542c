// The sprint networks, trained from scratch repeatedly in one process, on a GPU or an emulated one: the same seed gives
// the same bits in all weights and losses. gpu_kernel_bits_test.cpp tests single kernels.
#include <gtest/gtest.h>

#include "models/network.hpp"
#include "tests/kernels/bits.hpp"

namespace trainer::test {
namespace {

constexpr std::uint32_t kImages = kEmulated ? 200 : 21888;
constexpr std::uint64_t kSteps = kEmulated ? 1 : 19;

Bytes random_bytes(std::size_t count, unsigned below) {
  std::mt19937 random(3);
  Bytes bytes(count);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random() % below);
  return bytes;
}

// A training run followed by a test of one batch, in one recording.
class RepeatedSprint {
 public:
  RepeatedSprint(const std::string& name, BackendKind kind)
      : spec_(find_spec(name, models_folder())),
        backend_(make_backend(kind)),
        batch_(batch_of(spec_.recipe.batch)),
        network_(make_plan(spec_, {{28, 28, 1}, 10, batch_}), *backend_, Purpose::training,
                 optimizers_of(spec_.recipe)),
        rule_{optimizers_of(spec_.recipe), spec_.recipe.schedule} {
    rule_.schedule.steps = kSteps;
    input_.images = images_.as<std::uint8_t>();
    input_.labels = labels_.as<std::uint8_t>();
    input_.batching = {.images = kImages,
                       .batch = static_cast<std::uint32_t>(batch_),
                       .order = Order::shuffled,
                       .last_batch = LastBatch::wrap};
    recording_ = backend_->record({{[this] { network_.train_step(input_, rule_); }, kSteps},
                                   {[this] { network_.evaluate_step(input_); }, 1}});
  }

  Bytes run(std::uint64_t seed) {
    network_.initialize(seed);
    StepState state;
    state.seed = seed;
    network_.write_training_state(state);
    network_.write_evaluation_state({});
    recording_->launch(1);
    const Network::States states = network_.read_states();
    EXPECT_EQ(states.training.first_bad_step, kNoBadStep);
    Bytes bytes;
    append(bytes, std::vector<double>{states.training.loss_sum, states.evaluation.loss_sum});
    append(bytes, std::vector<std::uint64_t>{states.training.correct, states.evaluation.correct});
    for (const NetworkTensor& tensor : network_.tensors()) append(bytes, network_.read(tensor));
    return bytes;
  }

 private:
  Spec spec_;
  std::unique_ptr<Backend> backend_;
  int batch_;
  Bytes host_images_ = random_bytes(std::size_t{kImages} * 28 * 28, 256);
  Bytes host_labels_ = random_bytes(kImages, 10);
  Buffer images_ = backend_->make_resident(host_images_.data(), host_images_.size(), "the images");
  Buffer labels_ = backend_->make_resident(host_labels_.data(), host_labels_.size(), "the labels");
  Network network_;
  TrainingRule rule_;
  StepInput input_;
  std::unique_ptr<Recording> recording_;
};

class SprintBits : public OnManyBlocks, public testing::WithParamInterface<BackendKind> {};

TEST_P(SprintBits, TheSameSeedGivesTheSameBits) {
  for (const std::string name : {"sprint", "sprint-lean"}) {
    if (is_left_out(name, GetParam())) continue;
    RepeatedSprint sprint(name, GetParam());
    expect_same_bits_each_time(fmt::format("{}/{}", name, backend_name(GetParam())),
                               [&](int set) { return sprint.run(static_cast<std::uint64_t>(set) + 1); });
  }
}

INSTANTIATE_TEST_SUITE_P(Gpu, SprintBits, testing::ValuesIn(gpu_kinds()),
                         [](const auto& info) { return backend_name(info.param); });

}  // namespace
}  // namespace trainer::test
