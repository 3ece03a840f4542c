// An op, or the update that closes a step, prepared once and run repeatedly on one of two inputs.
#pragma once

#include <memory>
#include <vector>

#include "kernels/math/muon.hpp"
#include "models/plan.hpp"
#include "tests/kernels/bits.hpp"
#include "tests/kernels/device_map.hpp"

namespace trainer::test {

// An array of results, and how to read it.
struct Result {
  const DeviceArray* array;
  Element element;
  std::size_t count;

  std::vector<float> floats() const {
    std::vector<float> values = DeviceMap::widened_array(*array, element);
    values.resize(count);  // a gradient in a 16-bit type takes half the space
    return values;
  }
};

inline Bytes bytes_of(const std::vector<Result>& results) {
  Bytes bytes;
  for (const Result& result : results) append(bytes, result.array->download<std::uint8_t>());
  return bytes;
}

// Forward and backward of an op in training.
class OpRepeats {
 public:
  OpRepeats(Backend& backend, const OpDesc& desc, int batch, bool wants_dx)
      : backend_(backend),
        op_(backend.prepare(desc, batch, wants_dx)),
        roles_(parameters(desc)),
        y_element_(std::holds_alternative<HeadDesc>(desc) ? Element::fp32 : backend.element()),
        y_(backend, outputs() * element_bytes(y_element_), "y"),
        dx_(backend, wants_dx ? inputs() : 0, "dx"),
        saved_(backend, op_->saved_bytes(), "saved"),
        workspace_(backend, op_->workspace_bytes(), "workspace"),
        kept_(backend, static_cast<std::size_t>(batch), "the kept rows"),
        state_(backend, sizeof(StepState), "state") {
    std::mt19937 random(5);
    for (int set = 0; set < 2; ++set) {
      x_.emplace_back(backend, uniform(inputs(), random, 1), "x");
      dy_.emplace_back(backend, uniform(outputs(), random, 1), "dy");
      std::vector<std::uint8_t> labels(static_cast<std::size_t>(batch));
      for (std::uint8_t& label : labels) label = static_cast<std::uint8_t>(random() % 10);
      labels_.emplace_back(backend, labels, "labels");
    }
    for (std::size_t i = 0; i < roles_.size(); ++i) {
      const auto index = static_cast<int>(i);
      const std::vector<float> canonical = uniform(roles_[i].count(), random, 0.2);
      values_.emplace_back(op_->stored_count(index), 0.0F);
      op_->store(index, canonical.data(), values_.back().data());
      parameters_.emplace_back(backend, values_.back(), "a parameter");
      gradients_.emplace_back(backend, sizeof(float) * values_.back().size(), "a gradient");
    }
    if (!values_.empty()) cast_w_ = std::make_unique<DeviceMap>(backend, values_[0], "cast weights");
  }

  void run(int set) {
    StepState state;
    state.seed = 5;
    state.valid = static_cast<std::uint32_t>(op_->batch());
    state_.upload(std::vector<StepState>{state});
    OpArgs args = arguments(set);
    op_->forward(args);
    args.dy = dy_[set].address();
    args.dx = dx_.address();
    op_->backward(args);
    backend_.wait();
  }

  // The results of run(): y, dx, gradients, running statistics, and a head's sums.
  std::vector<Result> results() const {
    std::vector<Result> all{{&y_, y_element_, outputs()}};
    if (dx_.address() != nullptr) all.push_back({&dx_.array(), backend_.element(), inputs()});
    for (std::size_t i = 0; i < roles_.size(); ++i) {
      const bool trained = is_trained(roles_[i].role);
      const bool cast = i == 0 && op_->casts_dw();
      all.push_back({trained ? &gradients_[i] : &parameters_[i], cast ? backend_.element() : Element::fp32,
                     values_[i].size()});
    }
    return all;
  }
  StepState state() const { return state_.download<StepState>().front(); }

 private:
  std::size_t inputs() const { return static_cast<std::size_t>(op_->batch()) * in_shape(op_->desc()).size(); }
  std::size_t outputs() const {
    return static_cast<std::size_t>(op_->batch()) * out_shape(op_->desc()).size();
  }

  OpArgs arguments(int set) {
    OpArgs args;
    args.x = x_[set].address();
    args.y = y_.as<void>();
    args.labels = labels_[set].as<std::uint8_t>();
    args.state = state_.as<StepState>();
    if (const auto* head = std::get_if<HeadDesc>(&op_->desc()); head != nullptr && head->selection.selects())
      args.selected = kept_.as<std::uint8_t>();
    args.saved = saved_.as<std::byte>();
    args.workspace = workspace_.as<std::byte>();
    for (std::size_t i = 0; i < roles_.size(); ++i) {
      const bool trained = is_trained(roles_[i].role);
      if (!trained) parameters_[i].upload(values_[i]);
      args.bind(roles_[i].role, parameters_[i].as<float>(), trained ? gradients_[i].as<float>() : nullptr);
    }
    if (cast_w_ && backend_.element() != Element::fp32) args.cast_w = cast_w_->address();
    return args;
  }

  Backend& backend_;
  std::unique_ptr<Op> op_;
  std::vector<ParameterDesc> roles_;
  Element y_element_;
  DeviceArray y_;
  DeviceMap dx_;
  DeviceArray saved_, workspace_, kept_, state_;
  std::vector<DeviceMap> x_, dy_;
  std::vector<DeviceArray> labels_, parameters_, gradients_;
  std::vector<std::vector<float>> values_;
  std::unique_ptr<DeviceMap> cast_w_;
};

// The update of all parameters of one recipe's network.
class UpdateRepeats {
 public:
  UpdateRepeats(Backend& backend, const Plan& plan, const std::vector<OpDesc>& descs, const Recipe& recipe)
      : backend_(backend), optimizers_(optimizers_of(recipe)), schedule_(recipe.schedule) {
    schedule_.steps = 10;
    std::size_t end = 0;
    for (std::size_t i = 0; i < plan.ops.size(); ++i) {
      ops_.push_back(backend.prepare(descs[i], plan.input.batch, plan.ops[i].wants_dx));
      for (std::size_t p = 0; p < plan.ops[i].parameters.size(); ++p) {
        const PlannedParameter& parameter = plan.ops[i].parameters[p];
        if (!is_trained(parameter.desc.role)) continue;
        const Segment segment{.offset = end,
                              .count = ops_.back()->stored_count(static_cast<int>(p)),
                              .rate_factor = parameter.rate_factor,
                              .decay = parameter.decay,
                              .optimizer = static_cast<std::uint32_t>(parameter.optimizer)};
        book(segment, parameters(descs[i])[p]);
        end += (segment.count + 63) / 64 * 64;
      }
    }
    std::mt19937 random(7);
    first_ = {uniform(end, random, 0.2), uniform(end, random, 0.1), uniform(end, random, 0.1)};
    for (float& square : first_[2]) square = std::abs(square);
    for (const std::vector<float>& values : first_) arrays_.emplace_back(backend, values, "w and its slots");
    for (int set = 0; set < 2; ++set) dw_.emplace_back(backend, uniform(end, random, 0.1), "dw");
    cast_ = std::make_unique<DeviceMap>(backend, first_[0], "cast weights");
    workspace_ =
        std::make_unique<DeviceArray>(backend, backend.update_workspace_bytes(matrices_), "workspace");
    state_ = std::make_unique<DeviceArray>(backend, sizeof(StepState), "state");
  }

  void run(int set) {
    for (std::size_t i = 0; i < arrays_.size(); ++i) arrays_[i].upload(first_[i]);
    StepState state;
    state.step = 3;
    state.batch_loss = 1;
    state_->upload(std::vector<StepState>{state});
    backend_.update({.optimizers = &optimizers_,
                     .schedule = schedule_,
                     .batching = {.images = 60000, .batch = 100},
                     .segments = &segments_,
                     .matrices = &matrices_,
                     .w = arrays_[0].as<float>(),
                     .cast_w = backend_.element() == Element::fp32 ? nullptr : cast_->address(),
                     .dw = dw_[set].as<float>(),
                     .slot0 = arrays_[1].as<float>(),
                     .slot1 = arrays_[2].as<float>(),
                     .state = state_->as<StepState>(),
                     .workspace = workspace_->as<std::byte>()});
    backend_.wait();
  }

  std::vector<Result> results() const {
    std::vector<Result> all;
    for (const DeviceArray& array : arrays_) all.push_back({&array, Element::fp32, first_[0].size()});
    return all;
  }
  // Terms of the longest chain of sums: Muon's (muon_test.cpp).
  double length() const { return length_; }

 private:
  void book(const Segment& segment, const ParameterDesc& desc) {
    if (!takes_matrices(optimizers_[segment.optimizer])) return segments_.push_back(segment);
    const int rows = desc.shape.front();
    const auto columns = static_cast<int>(desc.count()) / rows;
    matrices_.push_back({segment, ops_.back().get(), rows, columns, muon_factor(rows, columns)});
    const int iterations = optimizers_[segment.optimizer].iterations;
    length_ = std::max(length_, std::max(rows, columns) * std::pow(3.4445, 2 * iterations));
  }

  Backend& backend_;
  std::vector<Optimizer> optimizers_;
  Schedule schedule_;
  std::vector<std::unique_ptr<Op>> ops_;
  std::vector<Segment> segments_;
  std::vector<WeightMatrix> matrices_;
  std::vector<std::vector<float>> first_;  // w and its slots before each run
  std::vector<DeviceArray> arrays_, dw_;
  std::unique_ptr<DeviceMap> cast_;
  std::unique_ptr<DeviceArray> workspace_, state_;
  double length_ = 1;
};

}  // namespace trainer::test
