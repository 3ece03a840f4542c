#include "trainer/train/profile.hpp"

#include <algorithm>
#include <dlfcn.h>
#include <fmt/format.h>

#include "trainer/console/progress.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/statistics.hpp"
#include "trainer/system/text.hpp"
#include "trainer/system/version.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

// Named ranges for NVIDIA's profilers (nsys) if NVIDIA's library is found at run time: libnvToolsExt came with toolkits up to 12,
// libnvtx3interop comes with 13, and both have these two functions.
struct NvtxRanges {
  int (*push)(const char*) = nullptr;
  int (*pop)() = nullptr;

  NvtxRanges() {
    for (const char* name : {"libnvToolsExt.so.1", "libnvtx3interop.so.1"}) {
      void* library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);  // stays open: a process profiles once
      if (library == nullptr || (push != nullptr && pop != nullptr)) continue;
      push = reinterpret_cast<int (*)(const char*)>(dlsym(library, "nvtxRangePushA"));
      pop = reinterpret_cast<int (*)()>(dlsym(library, "nvtxRangePop"));
    }
  }
  bool are_found() const { return push != nullptr && pop != nullptr; }
};

constexpr std::uint64_t kWarmupLaunches = 5;
constexpr std::uint64_t kPlainLaunches = 10;  // as in training
constexpr std::uint64_t kTimedSteps = 20;
constexpr double kMostSeconds = 3;  // for each of: warm-up, plain launches, timed steps
constexpr std::uint64_t kTracedSteps = 5;

// Bytes if each element is read or written once: maps have `element` bytes each, parameters and their gradients are fp32.
std::uint64_t op_bytes(const PlannedOp& op, std::uint64_t batch, bool forward, std::uint64_t element) {
  const std::uint64_t x = element * batch * in_shape(op.desc).size();
  const std::uint64_t y = element * batch * out_shape(op.desc).size();
  std::uint64_t w = 0;
  for (const PlannedParameter& parameter : op.parameters)
    if (is_trained(parameter.desc.role)) w += sizeof(float) * parameter.desc.count();
  if (std::holds_alternative<ResidualDesc>(op.desc)) return x + x + y;
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
  if (part.kind == StepPart::Kind::gather)
    return {"gather", "", "images to normalised floats", 0, 0, batch * plan.shown.size() * (1 + element)};
  if (part.kind == StepPart::Kind::update) {
    std::string text;
    int slots = 0;
    for (const Optimizer& optimizer : setup.rule.optimizers) {
      text += (text.empty() ? "" : ", ") + std::string(optimizer_word(optimizer.kind));
      slots = std::max(slots, optimizer_slots(optimizer));
    }
    const int values = 3 + 2 * slots + (plan.average ? 3 : 0) + (setup.rule.clip_norm > 0 ? 1 : 0);
    return {"update", "", text, 0, 0, sizeof(float) * plan.parameters * static_cast<std::uint64_t>(values)};
  }
  const PlannedOp& op = plan.ops[static_cast<std::size_t>(part.op)];
  const bool forward = part.kind == StepPart::Kind::forward;
  return {op.name, forward ? "forward" : "backward", describe(op.desc),
          0,       op_flops(plan, op, forward),      op_bytes(op, batch, forward, element)};
}

std::string full_name(const ProfiledPart& part) {
  return part.direction.empty() ? part.name : part.name + " " + part.direction;
}

// One stopwatch for each part; all are read when the step is done, so that the device never waits for the host in between.
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
    if (ranges_.are_found()) ranges_.push(full_name(profile_.parts[next_]).c_str());
    watches_[next_]->start();
  }

  void after(const StepPart& /*part*/) override {
    watches_[next_++]->stop();
    if (ranges_.are_found()) ranges_.pop();
  }

 private:
  const Setup& setup_;
  const Plan& plan_;  // the network's
  Backend& backend_;
  Profile& profile_;
  std::vector<std::unique_ptr<Stopwatch>> watches_;
  NvtxRanges ranges_;
  std::size_t next_ = 0;  // index of the step's next part
  Clock::time_point started_ = Clock::now();
  Clock::time_point opened_;
};

void take_medians(Profile& profile) {
  std::vector<std::vector<double>> seconds(profile.parts.size());
  for (const ProfiledEvent& event : profile.events) seconds[event.part].push_back(event.seconds);
  for (std::size_t i = 0; i < seconds.size(); ++i)
    profile.parts_seconds += profile.parts[i].seconds = median(seconds[i]);
}

// The mean seconds of a step in each of `launches` launches; fewer launches if `go_on` returns false, but at least one.
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

double rate(std::uint64_t amount, double seconds) {
  return seconds > 0 ? static_cast<double>(amount) / seconds : 0;
}

// "152.3  56 %": the rate, and its fraction of what the device can do if that is known.
std::string rate_text(std::uint64_t amount, double seconds, const DeviceLimit& limit) {
  if (amount == 0) return "-";
  const double value = rate(amount, seconds);
  const bool known = limit.per_second > 0;
  return fmt::format("{:.1f} {:>6}", value / 1e9,
                     known ? fmt::format("{:.0f} %", 100 * value / limit.per_second) : kUnknown);
}

std::string limit_text(const DeviceLimit& limit, const char* unit) {
  return limit.per_second > 0 ? fmt::format("{:.0f} {} ({})", limit.per_second / 1e9, unit, limit.source)
                              : kUnknown;
}

ordered_json named(const char* kind, const std::string& name) {
  return {{"name", kind}, {"ph", "M"}, {"pid", 1}, {"tid", 1}, {"args", {{"name", name}}}};
}

}  // namespace

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
  network.initialize(setup.settings.seed);
  StepState middle;  // a state halfway through the run: if a recipe selects images, it does so in most steps
  middle.seed = setup.settings.seed;
  middle.step = setup.total_steps / 2;
  network.write_training_state(middle);
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

std::string profile_table(const Profile& profile) {
  std::string text =
      report_line("profile", fmt::format("{}, batch {}, {}, engine {}, median of {} {}", profile.model,
                                         profile.batch, profile.precision, profile.engine, profile.steps,
                                         profile.steps == 1 ? "step" : "steps"));
  text += fmt::format("{:<10} {:<8} {:>9} {:>8} {:>15} {:>15}\n", "op", "", "ms", "of step",
                      "GFLOP/s of peak", "GB/s  of peak");
  for (const ProfiledPart& part : profile.parts)
    text += fmt::format("{:<10} {:<8} {:>9.3f} {:>6.1f} % {:>15} {:>15}  {}\n", part.name, part.direction,
                        part.seconds * 1e3, 100 * part.seconds / profile.parts_seconds,
                        rate_text(part.flops, part.seconds, profile.arithmetic),
                        rate_text(part.bytes, part.seconds, profile.memory), part.text);
  text += fmt::format("{:<10} {:<8} {:>9.3f}          {:.3f} ms without the clock around each op\n", "step",
                      "", profile.parts_seconds * 1e3, profile.step_seconds * 1e3);
  return text + report_line("peak", limit_text(profile.arithmetic, "GFLOP/s")) +
         report_line("", limit_text(profile.memory, "GB/s")) +
         report_line("", fmt::format("{} around each op; bytes as if without caches",
                                     profile.device_clock ? "the device's events" : "the host's clock")) +
         report_line(
             "", "FLOP as the plan counts them: an engine that leaves out products with 0 may pass the peak");
}

ordered_json profile_json(const Profile& profile) {
  ordered_json json{{"event", "profile"},
                    {"model", profile.model},
                    {"device", profile.device},
                    {"batch", profile.batch},
                    {"precision", profile.precision},
                    {"engine", profile.engine},
                    {"clock", profile.device_clock ? "device" : "host"},
                    {"steps", profile.steps},
                    {"step_seconds", profile.step_seconds},
                    {"peak_flops_per_second", profile.arithmetic.per_second},
                    {"peak_bytes_per_second", profile.memory.per_second},
                    {"parts", ordered_json::array()}};
  for (const ProfiledPart& part : profile.parts)
    json["parts"].push_back({{"name", part.name},
                             {"direction", part.direction},
                             {"op", part.text},
                             {"seconds", part.seconds},
                             {"share", part.seconds / profile.parts_seconds},
                             {"flops", part.flops},
                             {"bytes", part.bytes}});
  return json;
}

ordered_json chrome_trace(const Profile& profile) {
  constexpr double kMicro = 1e6;
  ordered_json events = ordered_json::array();
  events.push_back(named("process_name", fmt::format("trainer {}, {}", kVersion, profile.device)));
  events.push_back(named("thread_name", fmt::format("{}, batch {}", profile.model, profile.batch)));
  for (const ProfiledEvent& event : profile.events) {
    if (event.step >= kTracedSteps) continue;
    const ProfiledPart& part = profile.parts[event.part];
    events.push_back({{"name", full_name(part)},
                      {"cat", part.direction.empty() ? part.name : part.direction},
                      {"ph", "X"},
                      {"ts", event.start * kMicro},
                      {"dur", event.seconds * kMicro},
                      {"pid", 1},
                      {"tid", 1},
                      {"args",
                       {{"op", part.text},
                        {"step", event.step + 1},
                        {"gflops", rate(part.flops, event.seconds) / 1e9},
                        {"gbytes_per_second", rate(part.bytes, event.seconds) / 1e9}}}});
  }
  return {{"traceEvents", events}, {"displayTimeUnit", "ms"}, {"otherData", profile_json(profile)}};
}

void write_profile(const std::string& file, const Setup& setup, Backend& backend, const ResidentData& data,
                   Console& console, const std::function<bool()>& stop_asked) {
  const Profile profile = profile_training(setup, backend, data, stop_asked);
  console.text(profile_table(profile));
  console.json(profile_json(profile));
  write_file_durably(file, to_text(chrome_trace(profile), 1) + "\n");
  console.line(fmt::format("{:<14}{} (for chrome://tracing or ui.perfetto.dev)", "trace", file));
}

}  // namespace trainer
