// The observer with the stop-watch, and what each part moves and computes.
#include "trainer/profile.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "trainer/bench.hpp"
#include "trainer/nvtx_ranges.hpp"

namespace trainer {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kWarmupLaunches = 5;
constexpr std::uint64_t kPlainLaunches = 10;  // as in training
constexpr std::uint64_t kTimedSteps = 20;
constexpr double kMostSeconds = 3;  // of each of the three

double seconds_between(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

std::uint64_t parameter_count(const PlannedOp& op) {
  std::uint64_t count = 0;
  for (const PlannedParameter& parameter : op.parameters)
    if (is_trained(parameter.desc.role)) count += parameter.desc.count();
  return count;
}

// One fp32 number for each element, read or written once.
std::uint64_t op_bytes(const PlannedOp& op, std::uint64_t batch, bool forward) {
  const std::uint64_t x = batch * in_shape(op.desc).size();
  const std::uint64_t y = batch * out_shape(op.desc).size();
  const std::uint64_t w = parameter_count(op);
  if (forward) return sizeof(float) * (x + w + y);
  const std::uint64_t read = y + (w > 0 ? x + w : 0);
  return sizeof(float) * (read + w + (op.wants_dx ? x : 0));
}

std::uint64_t op_flops(const Plan& plan, const PlannedOp& op, bool forward) {
  std::uint64_t flops = 0;
  for (const int layer : op.layers) {
    const PlannedLayer& planned = plan.layers[static_cast<std::size_t>(layer)];
    flops += forward ? planned.forward_flops : planned.backward_flops;
  }
  return flops * static_cast<std::uint64_t>(plan.input.batch);
}

ProfiledPart describe_part(const StepPart& part, const Setup& setup) {
  const Plan& plan = setup.plan;
  const auto batch = static_cast<std::uint64_t>(plan.input.batch);
  const std::uint64_t pixels = batch * plan.input.image.size();
  switch (part.kind) {
    case StepPart::Kind::gather:
      return {"gather", "", "images to normalised floats", 0, 0, pixels * (1 + sizeof(float))};
    case StepPart::Kind::update: {
      const auto slots = static_cast<std::uint64_t>(optimizer_slots(setup.rule.optimizer));
      const std::string text = optimizer_word(setup.rule.optimizer.kind);
      return {"update", "", text, 0, 0, sizeof(float) * plan.parameters * (3 + 2 * slots)};
    }
    case StepPart::Kind::forward:
    case StepPart::Kind::backward:
      break;
  }
  const PlannedOp& op = plan.ops[static_cast<std::size_t>(part.op)];
  const bool forward = part.kind == StepPart::Kind::forward;
  return {op.name, forward ? "forward" : "backward", describe(op.desc),
          0,       op_flops(plan, op, forward),      op_bytes(op, batch, forward)};
}

class PartClock final : public StepObserver {
 public:
  PartClock(const Setup& setup, Backend& backend, Profile& profile)
      : setup_(setup), backend_(backend), profile_(profile) {}

  void open_step() { next_ = 0; }
  void close_step() { ++profile_.steps; }

  void before(const StepPart& part) override {
    if (profile_.steps == 0) profile_.parts.push_back(describe_part(part, setup_));
    ranges_.push(profile_.parts[next_].name + ' ' + profile_.parts[next_].direction);
    backend_.wait();
    start_ = Clock::now();
  }

  void after(const StepPart& /*part*/) override {
    backend_.wait();
    const Clock::time_point end = Clock::now();
    ranges_.pop();
    profile_.events.push_back(
        {next_++, profile_.steps, seconds_between(begun_, start_), seconds_between(start_, end)});
  }

 private:
  const Setup& setup_;
  Backend& backend_;
  Profile& profile_;
  NvtxRanges ranges_;
  std::size_t next_ = 0;  // part of the step
  Clock::time_point begun_ = Clock::now();
  Clock::time_point start_;
};

void take_medians(Profile& profile) {
  std::vector<std::vector<double>> seconds(profile.parts.size());
  for (const ProfiledEvent& event : profile.events) seconds[event.part].push_back(event.seconds);
  for (std::size_t i = 0; i < seconds.size(); ++i) profile.parts[i].seconds = spread_of(seconds[i]).median;
}

// Of a step in each of so many launches, or fewer when `go_on` says so; of one at least.
std::vector<double> step_seconds(Backend& backend, Recording& step, std::uint64_t launches,
                                 const std::function<bool()>& go_on) {
  std::vector<double> seconds;
  do {
    const Clock::time_point start = Clock::now();
    step.launch(backend.steps_per_launch());
    backend.wait();
    seconds.push_back(seconds_between(start, Clock::now()) / static_cast<double>(backend.steps_per_launch()));
  } while (seconds.size() < launches && go_on());
  return seconds;
}

void start_anew(Network& network, std::uint64_t seed) {
  network.initialize(seed);
  StepState state;
  state.seed = seed;
  network.write_training_state(state);
}

}  // namespace

double Profile::parts_seconds() const {
  return std::accumulate(parts.begin(), parts.end(), 0.0,
                         [](double sum, const ProfiledPart& part) { return sum + part.seconds; });
}

Profile profile_training(const Setup& setup, Backend& backend, const ResidentData& data,
                         const std::function<bool()>& stop_asked) {
  const DeviceInfo info = backend.info();
  Profile profile;
  profile.model = setup.spec.name;
  profile.device = info.name;
  profile.precision = setup.settings.precision.value_or("fp32");
  profile.batch = setup.plan.input.batch;
  profile.arithmetic = arithmetic_limit(backend, info, profile.precision);
  profile.memory = memory_limit(backend, info);

  Network network(setup.plan, backend, Purpose::training, setup.rule.optimizer);
  start_anew(network, setup.settings.seed);
  const StepInput input = data.train_input(setup.train);
  Clock::time_point begun = Clock::now();
  const auto go_on = [&] { return !stop_asked() && seconds_between(begun, Clock::now()) < kMostSeconds; };
  const auto step = backend.record([&] { network.train_step(input, setup.rule); });
  step_seconds(backend, *step, kWarmupLaunches, go_on);
  begun = Clock::now();
  profile.step_seconds = spread_of(step_seconds(backend, *step, kPlainLaunches, go_on)).median;
  PartClock clock(setup, backend, profile);
  begun = Clock::now();
  while (profile.steps == 0 || (profile.steps < kTimedSteps && go_on())) {
    clock.open_step();
    network.train_step(input, setup.rule, &clock);
    clock.close_step();
  }
  take_medians(profile);
  return profile;
}

}  // namespace trainer
