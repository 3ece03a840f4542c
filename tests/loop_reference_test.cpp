// The first losses of a training, held against the whole network in double: order, gathering, every op,
// gradient and optimiser together.
#include <gtest/gtest.h>
#include <stdexcept>

#include "tests/reference/training.hpp"
#include "tests/small_training.hpp"

namespace trainer::test {
namespace {

// The network of a plan in double, its parameters as the real one starts with.
class DoubleNetwork {
 public:
  DoubleNetwork(const Setup& setup, const Network& network) : setup_(setup) {
    for (const PlannedOp& op : setup.plan.ops) {
      std::vector<reference::Learner> learners;
      for (const PlannedParameter& parameter : op.parameters) learners.push_back(learner(parameter, network));
      learners_.push_back(learners);
    }
  }

  // Trains on these stored images; gives the mean loss before the update.
  double step(const reference::StepImages& images, std::uint64_t step) {
    std::vector<reference::Tensors> tensors(setup_.plan.ops.size());
    reference::Values x = gathered(images.images);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      reference::Tensors& t = tensors[i];
      t.batch = t.valid = static_cast<int>(images.images.size());
      t.seed = setup_.settings.seed;
      t.step = step;
      for (const std::uint32_t image : images.images) t.labels.push_back(setup_.dataset.train.labels[image]);
      t.x = std::move(x);
      for (const reference::Learner& learner : learners_[i]) t.parameters.push_back(learner.w);
      forward(setup_.plan.ops[i].desc, t);
      x = t.y;
    }
    for (std::size_t i = tensors.size(); i-- > 0;) {
      if (i + 1 < tensors.size()) tensors[i].dy = tensors[i + 1].dx;
      backward(setup_.plan.ops[i].desc, tensors[i]);
    }
    for (std::size_t i = 0; i < tensors.size(); ++i) learn(i, tensors[i], images.epoch, step);
    return tensors.back().loss / tensors.back().valid;
  }

 private:
  static reference::Learner learner(const PlannedParameter& parameter, const Network& network) {
    for (const NetworkTensor& tensor : network.tensors()) {
      if (tensor.name != parameter.name) continue;
      const std::vector<float> values = network.read(tensor);
      const reference::Values none(values.size());
      return {{values.begin(), values.end()}, none, none};
    }
    throw std::out_of_range(parameter.name);
  }

  reference::Values gathered(const std::vector<std::uint32_t>& images) const {
    const data::Dataset& dataset = setup_.dataset;
    reference::Values x;
    for (const std::uint32_t image : images) {
      for (std::size_t at = 0; at < dataset.shape.bytes(); ++at) {
        const int pixel = dataset.train.images[image * dataset.shape.bytes() + at];
        x.push_back(pixel * static_cast<double>(setup_.scaling.scale) + setup_.scaling.shift);
      }
    }
    return x;
  }

  void learn(std::size_t op, const reference::Tensors& t, std::uint64_t epoch, std::uint64_t step) {
    for (std::size_t p = 0; p < learners_[op].size(); ++p) {
      reference::Learner& learner = learners_[op][p];
      const PlannedParameter& planned = setup_.plan.ops[op].parameters[p];
      const Segment whole{0, learner.w.size(), planned.rate_factor, planned.decay};
      reference::update(setup_.rule.optimizers.front(), setup_.rule.schedule, {whole}, step, epoch, t.gradients[p],
                        learner);
    }
  }

  const Setup& setup_;
  std::vector<std::vector<reference::Learner>> learners_;
};

TEST(Loop, TheFirstLossesAreThoseOfTheNetworkInDouble) {
  for (const char* optimizer : {"{sgd: {momentum: 0.9}}", "adam", "adamw", "adadelta"}) {
    TrainingTrial trial({.network = {.optimizer = optimizer, .rate = "0.01"}});
    DoubleNetwork network(trial.setup(), trial.network());
    const std::vector<reference::StepImages> steps = reference::first_steps(trial.setup().train, 15);
    trial.run();
    for (std::uint64_t step = 0; step < steps.size(); ++step) {
      const double want = network.step(steps[step], step);
      EXPECT_NEAR(trial.losses[step], want, 2e-4 * want) << optimizer << ", step " << step;
    }
  }
}

}  // namespace
}  // namespace trainer::test
