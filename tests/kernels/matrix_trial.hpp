// The weight of one op that an optimiser takes as a matrix, in a backend's memory, together with the reference's.
#pragma once

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <memory>
#include <random>

#include "kernels/math/muon.hpp"
#include "tests/kernels/device_map.hpp"
#include "tests/kernels/tolerance.hpp"
#include "tests/reference/training.hpp"
#include "tests/support/sample_state.hpp"

namespace trainer {

using reference::Values;

inline Optimizer muon(int iterations, float momentum) {
  Optimizer o;
  o.kind = OptimizerKind::muon;
  o.iterations = iterations;
  o.momentum.count = 1;
  o.momentum.value[0] = momentum;
  return o;
}

// The weight of one op, with its momentum, in a backend's memory.
class MatrixTrial {
 public:
  MatrixTrial(Backend& backend, const OpDesc& desc, bool wants_dx)
      : backend_(backend), op_(backend.prepare(desc, 4, wants_dx)) {
    const ParameterDesc weight = parameters(desc).front();
    rows = weight.shape.front();
    columns = static_cast<int>(weight.count()) / rows;
    const std::size_t count = op_->stored_count(0);
    std::mt19937 bits(7);
    Values w(weight.count());
    for (double& value : w) value = static_cast<float>(bits() * 0x1p-31 - 1);
    learner = {w, Values(w.size(), 0), {}};
    w_ = stored(w, "w");
    dw_ = std::make_unique<DeviceArray>(backend, std::vector<float>(count), "dw");
    slot_ = std::make_unique<DeviceArray>(backend, std::vector<float>(count), "momentum");
    matrices_ = {{{.offset = 0, .count = count, .rate_factor = 0.5F, .decay = 0.1F, .optimizer = 1},
                  op_.get(),
                  rows,
                  columns,
                  muon_factor(rows, columns)}};
    workspace_ =
        std::make_unique<DeviceArray>(backend, backend.update_workspace_bytes(matrices_), "workspace");
    schedule_.rate = 0.3F;
  }

  // Switches gradients to the maps' element type, if that is not fp32.
  void reduced_precision_gradients() {
    matrices_[0].segment.cast_gradient = backend_.element() != Element::fp32;
  }

  // A step on the gradient `dw` [rows, columns], on the backend and, if its loss is finite, in double.
  void step(const Optimizer& optimizer, Values dw, float loss = 1.5F, float clip_norm = 0) {
    std::vector<float> scaled(dw.begin(), dw.end());
    for (float& g : scaled) g *= backend_.loss_scale();
    std::vector<float> in_memory = in_layout(scaled);
    if (matrices_[0].segment.cast_gradient) dw = reduced_precision(in_memory);
    dw_->upload(in_memory);
    StepState state = state_at(0);
    state.batch_loss = loss;
    state.first_bad_step = kNoBadStep;
    const DeviceArray states(backend_, std::vector<StepState>{state}, "state");
    workspace_->poison();
    const std::vector<Optimizer> optimizers{Optimizer{}, optimizer};
    const std::vector<Segment> none;
    const DeviceMap cast(backend_, std::vector<float>(op_->stored_count(0)), "cast weights");
    backend_.update({.optimizers = &optimizers,
                     .schedule = schedule_,
                     .batching = {.images = 8, .batch = 8},
                     .segments = &none,
                     .matrices = &matrices_,
                     .w = w_->as<float>(),
                     .cast_w = backend_.element() == Element::fp32 ? nullptr : cast.address(),
                     .dw = dw_->as<float>(),
                     .slot0 = slot_->as<float>(),
                     .state = states.as<StepState>(),
                     .workspace = workspace_->as<std::byte>(),
                     .clip_norm = clip_norm,
                     .floats = op_->stored_count(0)});
    backend_.wait();
    EXPECT_EQ(states.download<StepState>().front().step, 1U);
    EXPECT_TRUE(w_->guards_whole() && slot_->guards_whole() && workspace_->guards_whole());
    if (!std::isfinite(loss)) {
      EXPECT_EQ(states.download<StepState>().front().first_bad_step, 0U);
      return;
    }
    if (backend_.element() != Element::fp32) {
      const Tolerance rounded{.precision =
                                  backend_.element() == Element::bf16 ? Precision::bf16 : Precision::fp16};
      const std::vector<float> w = w_->download<float>();
      EXPECT_TRUE(near(cast.download(), Values(w.begin(), w.end()), rounded)) << "cast weights";
    }
    if (clip_norm > 0) reference::clip(dw, clip_norm);
    reference::update_matrix(optimizer, schedule_, {rows, columns, 0.5, 0.1}, 0, 0, dw, learner);
  }

  std::vector<float> w() const { return canonical(*w_); }
  std::vector<float> momentum() const { return canonical(*slot_); }
  double rate() const { return 0.5 * static_cast<double>(schedule_.rate); }

  int rows = 0;
  int columns = 0;
  reference::Learner learner;

 private:
  std::vector<float> in_layout(const std::vector<float>& values) const {
    std::vector<float> result(op_->stored_count(0), 0.0F);
    op_->store(0, values.data(), result.data());
    return result;
  }
  // Rounds the values and packs them as they are stored; returns them without the loss scale.
  Values reduced_precision(std::vector<float>& values) const {
    const DeviceMap rounded(backend_, values, "dw");
    const std::vector<float> taken = rounded.download();
    const auto bits = rounded.array().download<std::uint8_t>();
    std::memcpy(values.data(), bits.data(), bits.size());
    Values result(taken.begin(), taken.end());
    for (double& g : result) g /= static_cast<double>(backend_.loss_scale());
    return result;
  }
  std::unique_ptr<DeviceArray> stored(const Values& values, const char* what) const {
    return std::make_unique<DeviceArray>(backend_, in_layout({values.begin(), values.end()}), what);
  }
  std::vector<float> canonical(const DeviceArray& array) const {
    std::vector<float> values(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
    op_->fetch(0, array.download<float>().data(), values.data());
    return values;
  }

  Backend& backend_;
  std::unique_ptr<Op> op_;
  std::unique_ptr<DeviceArray> w_, dw_, slot_, workspace_;
  std::vector<WeightMatrix> matrices_;
  Schedule schedule_;
};

}  // namespace trainer
