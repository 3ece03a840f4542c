// The networks of `trainer sprint` on MNIST, held step by step against themselves in double.
#include <gtest/gtest.h>

#include "tests/support/backends.hpp"
#include "tests/train/double_network.hpp"
#include "trainer/train/loop.hpp"

namespace trainer::test {
namespace {

// A training beside the same one in double.
class Parity {
 public:
  Parity(const Spec& spec, int batch, BackendKind kind)
      : backend_(make_backend(kind)),
        setup_(make_setup(spec, with_batch(batch), data::load_dataset(TRAINER_SOURCE_DIR "/data/mnist"))),
        network_(setup_.plan, *backend_, Purpose::training, setup_.rule.optimizers),
        data_(*backend_, setup_),
        steps_(reference::first_steps(setup_.train, setup_.settings.seed, 10)) {
    network_.initialize(1);
    network_.write_training_state({.seed = setup_.settings.seed});
    double_.emplace(setup_, network_);
  }

  // The distance of the two losses of step `index`, relative.
  double step(std::uint64_t index) {
    network_.train_step(data_.train_input(setup_.train), setup_.rule);
    backend_->wait();
    const StepState state = network_.read_training_state();
    const double want = double_->step(steps_[index], index);
    return std::abs(static_cast<double>(state.batch_loss) / state.valid - want) / want;
  }

  void start_from_double() { double_->hand_over(network_); }

 private:
  static TrainSettings with_batch(int batch) {
    TrainSettings settings;
    settings.batch = batch;
    return settings;
  }

  std::unique_ptr<Backend> backend_;
  Setup setup_;
  Network network_;
  ResidentData data_;
  std::vector<reference::StepImages> steps_;
  std::optional<DoubleNetwork> double_;
};

Spec narrow(const std::string& name) {
  std::string text = find_spec(name, TRAINER_SOURCE_DIR "/models").text;
  const auto replace = [&](const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
  };
  replace("parameters: 120538\n", "");
  replace("out: 16", "out: 8");
  replace("out: 48", "out: 24");
  replace("out: 256", "out: 40");
  return parse_spec(text, "narrow.yaml");
}

// From the first step on, so that each step's loss tells of the gradients of kept images.
Spec selecting(Spec spec) {
  spec.recipe.keep = {.fraction = 0.35, .from = 0};
  return spec;
}

struct ParityCase {
  const char* name;
  Spec spec;
  int batch;
};

// On a GPU that is emulated a network of the whole width would take minutes.
std::vector<ParityCase> cases_of(BackendKind kind) {
  const auto shipped = [](const char* name) { return find_spec(name, TRAINER_SOURCE_DIR "/models"); };
  if (kind >= kGpu) {
    return {{"narrow sprint", narrow("sprint"), 32},
            {"narrow sprint, selecting", selecting(narrow("sprint")), 32}};
  }
  return {{"sprint-lean", shipped("sprint-lean"), 256},
          {"sprint-lean, selecting", selecting(shipped("sprint-lean")), 256},
          {"sprint", shipped("sprint"), 96}};
}

TEST(SprintParity, EveryStepFromTheSameStartHasTheLossOfTheNetworkInDouble) {
  for (const BackendKind kind : tested_backends()) {
    for (const ParityCase& c : cases_of(kind)) {
      Parity parity(c.spec, c.batch, kind);
      for (std::uint64_t step = 0; step < 10; ++step) {
        parity.start_from_double();
        EXPECT_LT(parity.step(step), 1e-4) << backend_name(kind) << ", " << c.name << ", step " << step;
      }
    }
  }
}

TEST(SprintParity, FourStepsOnTheirOwnKeepIt) {
  for (const BackendKind kind : tested_backends()) {
    for (const ParityCase& c : cases_of(kind)) {
      Parity parity(c.spec, c.batch, kind);
      for (std::uint64_t step = 0; step < 4; ++step)
        EXPECT_LT(parity.step(step), 1e-4) << backend_name(kind) << ", " << c.name << ", step " << step;
    }
  }
}

}  // namespace
}  // namespace trainer::test
