#include "tests/kernels/op_trial.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <optional>

#include "tests/kernels/device_map.hpp"

namespace trainer {

namespace {

std::vector<float> floats(const reference::Values& values) {
  return {values.begin(), values.end()};
}

template <typename T>
bool equal_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Converts canonical values to the op's own layout; the padding between them is zero.
std::vector<float> stored(const Op& op, int index, const std::vector<float>& canonical) {
  std::vector<float> values(op.stored_count(index), 0.0F);
  op.store(index, canonical.data(), values.data());
  return values;
}

std::vector<float> fetched(const Op& op, int index, const std::vector<float>& values) {
  std::vector<float> canonical(parameters(op.desc())[static_cast<std::size_t>(index)].count());
  op.fetch(index, values.data(), canonical.data());
  return canonical;
}

StepState state_before(const reference::Tensors& t) {
  StepState state;
  state.step = t.step;
  state.seed = t.seed;
  state.valid = static_cast<std::uint32_t>(t.valid);
  state.batch_loss = kBatchLossBefore;
  state.loss_sum = kLossSumBefore;
  state.correct = kCorrectBefore;
  state.images = kImagesBefore;
  return state;
}

// An array that must stay unchanged.
struct Input {
  DeviceArray array;
  std::vector<float> values;
  Input(Backend& backend, std::vector<float> initial, const char* what)
      : array(backend, initial, what), values(std::move(initial)) {}
};

// The same for a map, in the backend's element type.
struct InputMap {
  DeviceMap map;
  std::vector<std::uint8_t> bytes;
  InputMap(Backend& backend, const std::vector<float>& initial, const char* what)
      : map(backend, initial, what), bytes(map.array().download<std::uint8_t>()) {}
};

class Trial {
 public:
  Trial(Backend& backend, const OpDesc& desc, const reference::Tensors& t, bool wants_dx, bool selected_only)
      : backend_(backend),
        t_(t),
        selected_only_(selected_only),
        op_(backend.prepare(told(desc, selected_only), t.batch, wants_dx)),
        roles_(parameters(desc)),
        x_(backend, floats(t.x), "x"),
        dy_(backend, gradient_of_y(desc), "dy"),
        skip_(backend, floats(t.skip), "skip"),
        labels_(backend, t.labels, "labels"),
        kept_(selected_rows_of(backend, desc)),
        y_element_(std::holds_alternative<HeadDesc>(desc) ? Element::fp32 : backend.element()),
        y_(backend, t.batch * out_shape(desc).size() * element_bytes(y_element_), "y"),
        dx_(backend, wants_dx ? t.x.size() : 0, "dx"),
        saved_(backend, op_->saved_bytes(), "saved"),
        workspace_(backend, op_->workspace_bytes(), "workspace"),
        state_(backend, std::vector<StepState>{state_before(t)}, "state") {
    const bool training = t.mode == Mode::training;
    for (std::size_t i = 0; i < roles_.size(); ++i) {
      const int index = static_cast<int>(i);
      parameters_.emplace_back(backend, stored(*op_, index, floats(t.parameters[i])),
                               role_name(roles_[i].role));
      const bool trained = training && is_trained(roles_[i].role);
      gradients_.emplace_back(backend, trained ? op_->stored_count(index) * sizeof(float) : 0, "gradient");
    }
    args_.mode = t.mode;
    args_.x = x_.map.address();
    args_.y = y_.as<void>();
    args_.skip = skip_.map.address();
    args_.labels = labels_.as<std::uint8_t>();
    args_.state = state_.as<StepState>();
    if (selects(desc) || !t.kept.empty()) args_.selected = kept_.as<std::uint8_t>();
    args_.steps = t.steps;
    args_.workspace = workspace_.as<std::byte>();
    args_.saved = training ? saved_.as<std::byte>() : nullptr;
    for (std::size_t i = 0; i < roles_.size(); ++i) {
      const bool trained = training && is_trained(roles_[i].role);
      args_.bind(roles_[i].role, parameters_[i].array.as<float>(),
                 trained ? gradients_[i].as<float>() : nullptr);
    }
    if (!parameters_.empty() && backend.element() != Element::fp32) {
      cast_w_.emplace(backend, parameters_[0].values, "cast weights");
      args_.cast_w = cast_w_->map.address();
    }
  }

  OpResult run() {
    op_->forward(args_);
    backend_.wait();
    OpResult result;
    result.y = DeviceMap::widened_array(y_, y_element_);
    workspace_.poison();
    if (t_.mode == Mode::training) run_backward(result);
    result.state = state_.download<StepState>().front();
    if (args_.selected != nullptr) result.kept = kept_.download<std::uint8_t>();
    for (std::size_t i = 0; i < roles_.size(); ++i) {
      if (is_trained(roles_[i].role)) continue;
      result.running.push_back(fetched(*op_, static_cast<int>(i), parameters_[i].array.download<float>()));
    }
    watch(result.faults);
    return result;
  }

 private:
  static OpDesc told(OpDesc desc, bool selected_only) {
    if (MapContract* map = x_map(desc)) map->selected_only = selected_only;
    return desc;
  }

  static bool selects(const OpDesc& desc) {
    const auto* head = std::get_if<HeadDesc>(&desc);
    return head != nullptr && head->selection.selects();
  }

  // The head must write this array.
  DeviceArray selected_rows_of(Backend& backend, const OpDesc& desc) const {
    if (!selects(desc)) return DeviceArray(backend, t_.kept, "the kept rows");
    return DeviceArray(backend, static_cast<std::size_t>(t_.batch), "the kept rows");
  }

  // Whether element i of an array of rows of `floats` belongs to a valid row that is not selected.
  bool is_left_out(std::size_t i, std::size_t floats) const {
    const std::size_t row = i / floats;
    return !t_.kept.empty() && row < static_cast<std::size_t>(t_.valid) && t_.kept[row] == 0;
  }

  std::vector<float> gradient_of_y(const OpDesc& desc) const {
    if (std::holds_alternative<HeadDesc>(desc)) return {};
    std::vector<float> dy = floats(t_.dy);
    for (std::size_t i = 0; op_->reads_selected_rows() && i < dy.size(); ++i) {
      if (is_left_out(i, out_shape(desc).size())) dy[i] = NAN;
    }
    return dy;
  }

  void run_backward(OpResult& result) {
    args_.dy = dy_.map.address();
    args_.dx = dx_.address();
    op_->backward(args_);
    backend_.wait();
    result.dx = unscaled(dx_.download());
    for (std::size_t i = 0; selected_only_ && i < result.dx.size(); ++i) {
      if (is_left_out(i, in_shape(op_->desc()).size())) result.dx[i] = 0;
    }
    for (std::size_t i = 0; i < gradients_.size(); ++i) {
      if (!is_trained(roles_[i].role)) continue;
      const int index = static_cast<int>(i);
      const bool cast = i == 0 && op_->casts_dw();
      std::vector<float> raw =
          DeviceMap::widened_array(gradients_[i], cast ? backend_.element() : Element::fp32);
      raw.resize(op_->stored_count(index));  // a cast gradient takes half the space
      raw = unscaled(std::move(raw));
      result.gradients.push_back(fetched(*op_, index, raw));
      if (!equal_bits(stored(*op_, index, result.gradients.back()), raw)) {
        result.faults.push_back(
            fmt::format("the gradient of {} is not zero between its elements", role_name(roles_[i].role)));
      }
    }
  }

  // Removes the loss scale, which only the head applies.
  std::vector<float> unscaled(std::vector<float> gradients) const {
    const bool head = std::holds_alternative<HeadDesc>(op_->desc());
    for (float& g : gradients) g /= head ? backend_.loss_scale() : 1;
    return gradients;
  }

  void watch(std::vector<std::string>& faults) const {
    const auto watch_guards = [&](const DeviceArray& array, const char* name) {
      if (!array.guards_whole()) faults.push_back(fmt::format("wrote past the ends of {}", name));
    };
    const auto watch_input = [&](const Input& input, const char* name) {
      watch_guards(input.array, name);
      if (!equal_bits(input.array.download<float>(), input.values)) {
        faults.push_back(fmt::format("changed its input {}", name));
      }
    };
    const auto watch_map = [&](const InputMap& input, const char* name) {
      watch_guards(input.map.array(), name);
      if (input.map.array().download<std::uint8_t>() != input.bytes) {
        faults.push_back(fmt::format("changed its input {}", name));
      }
    };
    watch_map(x_, "x");
    watch_map(dy_, "dy");
    watch_map(skip_, "skip");
    if (cast_w_) watch_map(*cast_w_, "the cast weights");
    watch_guards(labels_, "labels");
    watch_guards(kept_, "the kept rows");
    watch_guards(y_, "y");
    watch_guards(dx_.array(), "dx");
    watch_guards(saved_, "saved");
    watch_guards(workspace_, "workspace");
    watch_guards(state_, "state");
    for (std::size_t i = 0; i < roles_.size(); ++i) {
      const char* name = role_name(roles_[i].role);
      if (is_trained(roles_[i].role) || t_.mode == Mode::inference) {
        watch_input(parameters_[i], name);
      } else {
        watch_guards(parameters_[i].array, name);
      }
      watch_guards(gradients_[i], "a gradient");
    }
  }

  Backend& backend_;
  const reference::Tensors& t_;
  bool selected_only_;
  std::unique_ptr<Op> op_;
  std::vector<ParameterDesc> roles_;
  InputMap x_;
  InputMap dy_;
  InputMap skip_;
  DeviceArray labels_;
  DeviceArray kept_;
  Element y_element_;
  DeviceArray y_;
  DeviceMap dx_;
  DeviceArray saved_;
  DeviceArray workspace_;
  DeviceArray state_;
  std::vector<Input> parameters_;
  std::optional<InputMap> cast_w_;
  std::vector<DeviceArray> gradients_;
  OpArgs args_;
};

}  // namespace

bool OpResult::same_bits(const OpResult& other) const {
  const auto all_equal = [](const auto& a, const auto& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), equal_bits<float>);
  };
  return equal_bits(y, other.y) && equal_bits(dx, other.dx) && all_equal(gradients, other.gradients) &&
         all_equal(running, other.running) && state.batch_loss == other.state.batch_loss &&
         state.loss_sum == other.state.loss_sum;
}

OpResult run_op(Backend& backend, const OpDesc& desc, const reference::Tensors& t, bool wants_dx,
                bool selected_only) {
  return Trial(backend, desc, t, wants_dx, selected_only).run();
}

}  // namespace trainer
