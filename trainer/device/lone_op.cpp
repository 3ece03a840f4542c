#include "trainer/device/lone_op.hpp"

#include <algorithm>
#include <random>

#include "trainer/system/clock.hpp"

namespace trainer {

namespace {

constexpr int kFewestRounds = 3;

}  // namespace

double fastest_seconds(Backend& backend, double seconds, const std::function<void()>& round) {
  round();
  backend.wait();
  double best = 0;
  const Clock::time_point started = Clock::now();
  for (int i = 0; i < kFewestRounds || seconds_since(started) < seconds; ++i) {
    const Clock::time_point start = Clock::now();
    round();
    backend.wait();
    best = i == 0 ? seconds_since(start) : std::min(best, seconds_since(start));
  }
  return best;
}

Microbenchmark::Microbenchmark(Backend& backend, const OpDesc& desc, int batch)
    : backend_(backend),
      desc_(desc),
      batch_(batch),
      op_(backend.prepare(desc, batch, false)),
      x_(backend.allocate(batch * in_shape(desc).size() * sizeof(float), "a measurement")),
      y_(backend.allocate(batch * out_shape(desc).size() * sizeof(float), "a measurement")),
      cast_w_(backend.allocate(parameters(desc).empty() ? 0 : op_->stored_count(0) * sizeof(float),
                               "a measurement")),
      saved_(backend.allocate(op_->saved_bytes(), "a measurement")),
      workspace_(backend.allocate(op_->workspace_bytes(), "a measurement")),
      state_(backend.allocate(sizeof(StepState), "a measurement")) {
  StepState state;
  state.valid = static_cast<std::uint32_t>(batch);
  backend.upload(state_.data(), &state, sizeof(state));
  const int count = static_cast<int>(parameters(desc).size());
  for (int i = 0; i < count; ++i)
    parameters_.push_back(backend.allocate(op_->stored_count(i) * sizeof(float), "a measurement"));
}

void Microbenchmark::fill(Buffer& buffer, std::size_t count, bool of_element) {
  std::minstd_rand random;
  std::uniform_real_distribution<float> spread(-1, 1);
  std::vector<float> values(count);
  constexpr std::size_t kPeriod = 4093;  // a prime: no two rows of a product are alike
  for (std::size_t i = 0; i < count; ++i) values[i] = i < kPeriod ? spread(random) : values[i - kPeriod];
  if (!of_element || backend_.element() == Element::fp32) {
    backend_.upload(buffer.data(), values.data(), count * sizeof(float));
    return;
  }
  Buffer whole = backend_.allocate(count * sizeof(float), "a measurement");
  backend_.upload(whole.data(), values.data(), count * sizeof(float));
  backend_.cast(whole.floats(), buffer.data(), count);
  backend_.wait();
}

void Microbenchmark::fill() {
  fill(x_, batch_ * in_shape(desc_).size(), true);
  if (parameters_.empty()) return;
  fill(parameters_[0], op_->stored_count(0), false);
  if (backend_.element() == Element::fp32) return;
  backend_.cast(parameters_[0].floats(), cast_w_.data(), op_->stored_count(0));
  backend_.wait();
}

void Microbenchmark::forward() {
  OpArgs args;
  args.x = x_.data();
  args.y = y_.data();
  args.saved = saved_.data();
  args.workspace = workspace_.data();
  args.state = state_.as<StepState>();
  if (!parameters_.empty()) args.w = parameters_[0].floats();
  if (backend_.element() != Element::fp32) args.cast_w = cast_w_.data();
  if (parameters_.size() > 1) args.b = parameters_[1].floats();
  op_->forward(args);
}

double Microbenchmark::forward_seconds() {
  constexpr double kSeconds = 0.3;
  return fastest_seconds(backend_, kSeconds, [this] { forward(); });
}

}  // namespace trainer
