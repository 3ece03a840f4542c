// The observer with the stop-watch, and what each part moves and computes.
#include "trainer/train/profile.hpp"

#include <algorithm>
#include <dlfcn.h>
#include <numeric>
#include <utility>

#include "trainer/system/clock.hpp"
#include "trainer/system/statistics.hpp"

namespace trainer {

namespace {

// Named ranges for NVIDIA's profilers (nsys), where NVIDIA's library is found at run time: libnvToolsExt came with toolkits
// up to 12, libnvtx3interop comes with 13, and both know these two functions.
class NvtxRanges {
 public:
  NvtxRanges() {
    for (const char* name : {"libnvToolsExt.so.1", "libnvtx3interop.so.1"}) {
      if (library_ != nullptr || (library_ = dlopen(name, RTLD_LAZY | RTLD_LOCAL)) == nullptr) continue;
      push_ = reinterpret_cast<int (*)(const char*)>(dlsym(library_, "nvtxRangePushA"));
      pop_ = reinterpret_cast<int (*)()>(dlsym(library_, "nvtxRangePop"));
      if (push_ == nullptr || pop_ == nullptr) dlclose(std::exchange(library_, nullptr));
    }
  }
  ~NvtxRanges() {
    if (library_ != nullptr) dlclose(library_);
  }
  NvtxRanges(const NvtxRanges&) = delete;
  NvtxRanges& operator=(const NvtxRanges&) = delete;

  void push(const std::string& name) const {
    if (library_ != nullptr) push_(name.c_str());
  }
  void pop() const {
    if (library_ != nullptr) pop_();
  }

 private:
  void* library_ = nullptr;
  int (*push_)(const char*) = nullptr;
  int (*pop_)() = nullptr;
};

constexpr std::uint64_t kWarmupLaunches = 5;
constexpr std::uint64_t kPlainLaunches = 10;  // as in training
constexpr std::uint64_t kTimedSteps = 20;
constexpr double kMostSeconds = 3;  // of each of the three

std::uint64_t parameter_count(const PlannedOp& op) {
  std::uint64_t count = 0;
  for (const PlannedParameter& parameter : op.parameters)
    if (is_trained(parameter.desc.role)) count += parameter.desc.count();
  return count;
}

// Every element read or written once: maps of `element` bytes, parameters and their gradients of fp32.
std::uint64_t op_bytes(const PlannedOp& op, std::uint64_t batch, bool forward, std::uint64_t element) {
  const std::uint64_t x = element * batch * in_shape(op.desc).size();
  const std::uint64_t y = element * batch * out_shape(op.desc).size();
  const std::uint64_t w = sizeof(float) * parameter_count(op);
  if (forward) return x + w + y;
  return y + (w > 0 ? x + w : 0) + w + (op.wants_dx ? x : 0);
}

std::uint64_t op_flops(const Plan& plan, const PlannedOp& op, bool forward) {
  std::uint64_t flops = 0;
  for (const int layer : op.layers) {
    const PlannedLayer& planned = plan.layers[static_cast<std::size_t>(layer)];
    flops += forward ? planned.forward_flops : planned.backward_flops;
  }
  return flops * static_cast<std::uint64_t>(plan.input.batch);
}

ProfiledPart describe_part(const StepPart& part, const Setup& setup, const Plan& plan,
                           std::uint64_t element) {
  const auto batch = static_cast<std::uint64_t>(plan.input.batch);
  const std::uint64_t pixels = batch * plan.shown.size();
  switch (part.kind) {
    case StepPart::Kind::gather:
      return {"gather", "", "images to normalised floats", 0, 0, pixels * (1 + element)};
    case StepPart::Kind::update: {
      std::string text;
      int slots = 0;
      for (const Optimizer& optimizer : setup.rule.optimizers) {
        text += (text.empty() ? "" : ", ") + std::string(optimizer_word(optimizer.kind));
        slots = std::max(slots, optimizer_slots(optimizer));
      }
      return {"update", "", text,
              0,        0,  sizeof(float) * plan.parameters * static_cast<std::uint64_t>(3 + 2 * slots)};
    }
    case StepPart::Kind::forward:
    case StepPart::Kind::backward:
      break;
  }
  const PlannedOp& op = plan.ops[static_cast<std::size_t>(part.op)];
  const bool forward = part.kind == StepPart::Kind::forward;
  return {op.name, forward ? "forward" : "backward", describe(op.desc),
          0,       op_flops(plan, op, forward),      op_bytes(op, batch, forward, element)};
}

// A stopwatch a part, all read when the step is done: the device never waits for the host in between.
class PartClock final : public StepObserver {
 public:
  PartClock(const Setup& setup, const Plan& plan, Backend& backend, Profile& profile)
      : setup_(setup), plan_(plan), backend_(backend), profile_(profile) {}

  void open_step() {
    backend_.wait();
    next_ = 0;
    opened_ = Clock::now();
  }

  void close_step() {
    backend_.wait();
    double start = seconds_between(started_, opened_);
    for (std::size_t part = 0; part < watches_.size(); ++part) {
      const double seconds = watches_[part]->seconds();
      profile_.events.push_back({part, profile_.steps, start, seconds});
      start += seconds;
    }
    ++profile_.steps;
  }

  void before(const StepPart& part) override {
    if (profile_.steps == 0) {
      profile_.parts.push_back(describe_part(part, setup_, plan_, element_bytes(backend_.element())));
      watches_.push_back(backend_.stopwatch());
    }
    ranges_.push(profile_.parts[next_].name + ' ' + profile_.parts[next_].direction);
    watches_[next_]->start();
  }

  void after(const StepPart& /*part*/) override {
    watches_[next_++]->stop();
    ranges_.pop();
  }

 private:
  const Setup& setup_;
  const Plan& plan_;  // the network's
  Backend& backend_;
  Profile& profile_;
  std::vector<std::unique_ptr<Stopwatch>> watches_;
  NvtxRanges ranges_;
  std::size_t next_ = 0;  // part of the step
  Clock::time_point started_ = Clock::now();
  Clock::time_point opened_;
};

void take_medians(Profile& profile) {
  std::vector<std::vector<double>> seconds(profile.parts.size());
  for (const ProfiledEvent& event : profile.events) seconds[event.part].push_back(event.seconds);
  for (std::size_t i = 0; i < seconds.size(); ++i) profile.parts[i].seconds = median(seconds[i]);
}

// Of a step in each of so many launches, or fewer when `go_on` says so; of one at least.
std::vector<double> step_seconds(Backend& backend, Recording& step, std::uint64_t launches,
                                 const std::function<bool()>& go_on) {
  std::vector<double> seconds;
  do {
    const Clock::time_point start = Clock::now();
    step.launch(backend.repeats_per_launch());
    backend.wait();
    seconds.push_back(seconds_between(start, Clock::now()) /
                      static_cast<double>(backend.repeats_per_launch()));
  } while (seconds.size() < launches && go_on());
  return seconds;
}

// In the middle of the run: where a recipe selects images, most steps do.
void start_anew(Network& network, const Setup& setup) {
  network.initialize(setup.settings.seed);
  StepState state;
  state.seed = setup.settings.seed;
  state.step = setup.total_steps / 2;
  network.write_training_state(state);
}

}  // namespace

double Profile::parts_seconds() const {
  return std::accumulate(parts.begin(), parts.end(), 0.0,
                         [](double sum, const ProfiledPart& part) { return sum + part.seconds; });
}

Profile profile_training(const Setup& setup, Backend& backend, const ResidentData& data,
                         const std::function<bool()>& stop_asked) {
  const DeviceInfo info = backend.info(Libraries::opened);
  Profile profile;
  profile.model = setup.spec.name;
  profile.device = info.name;
  profile.precision = setup.settings.precision.value_or("fp32");
  profile.engine = setup.settings.engine;
  profile.batch = setup.plan.input.batch;
  profile.device_clock = backend.runs_ahead();
  profile.arithmetic = arithmetic_limit(backend, info, profile.precision);
  profile.memory = memory_limit(backend, info);

  Network network(setup.plan, backend, Purpose::training, setup.rule.optimizers);
  start_anew(network, setup);
  const StepInput input = data.train_input(setup.train);
  Clock::time_point started = Clock::now();
  const auto go_on = [&] { return !stop_asked() && seconds_between(started, Clock::now()) < kMostSeconds; };
  const auto step = backend.record({{[&] { network.train_step(input, setup.rule); }, 1}});
  step_seconds(backend, *step, kWarmupLaunches, go_on);
  started = Clock::now();
  profile.step_seconds = median(step_seconds(backend, *step, kPlainLaunches, go_on));
  PartClock clock(setup, network.plan(), backend, profile);
  started = Clock::now();
  while (profile.steps == 0 || (profile.steps < kTimedSteps && go_on())) {
    clock.open_step();
    network.train_step(input, setup.rule, &clock);
    clock.close_step();
  }
  take_medians(profile);
  return profile;
}

}  // namespace trainer
