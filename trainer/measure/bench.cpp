// The settings of this version, and the timing.
#include "trainer/measure/bench.hpp"

#include <fmt/format.h>
#include <stdexcept>

#include "kernels/gpu_host/gpu_architectures.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/train/loop.hpp"

namespace trainer {

namespace {

// A training of one subject that starts again from the same weights for each repeat.
class TimedTraining {
 public:
  TimedTraining(const Setup& setup, Backend& backend, const BenchSettings& settings)
      : setup_(setup),
        backend_(backend),
        settings_(settings),
        network_(setup.plan, backend, Purpose::training, setup.rule.optimizers),
        data_(backend, setup),
        step_(backend.record(
            {{[this, input = data_.train_input(setup.train)] { network_.train_step(input, setup_.rule); },
              1}})) {}

  // Trains `steps` steps from the start, and as many again until `least_seconds` have passed.
  BenchRepeat run(std::uint64_t steps, double least_seconds) {
    network_.initialize(settings_.seed);
    StepState state;
    state.seed = settings_.seed;
    network_.write_training_state(state);
    BenchRepeat repeat;
    const Clock::time_point start = Clock::now();
    do {
      launch_steps(*step_, backend_, steps);
      repeat.steps += steps;
    } while (seconds_since(start) < least_seconds);
    backend_.wait();
    repeat.seconds = seconds_since(start);
    repeat.images = images_before(setup_.train, repeat.steps);
    require_finite();
    return repeat;
  }

  std::uint64_t memory_bytes() const {
    const Network::Memory memory = network_.memory();
    return memory.parameters + memory.gradients + memory.optimizer + memory.activations + memory.workspace;
  }

 private:
  void require_finite() const {
    const std::uint64_t bad = network_.read_training_state().first_bad_step;
    if (bad == kNoBadStep) return;
    throw std::runtime_error(
        fmt::format("bench: {}, batch {}: the loss of step {} is not finite, so the steps after it train "
                    "nothing; check the device with scripts/test.sh",
                    setup_.spec.name, setup_.plan.input.batch, bad + 1));
  }

  const Setup& setup_;
  Backend& backend_;
  const BenchSettings& settings_;
  Network network_;
  ResidentData data_;
  std::unique_ptr<Recording> step_;
};

}  // namespace

BenchSettings bench_settings(bool quick) {
  BenchSettings settings;
  settings.quick = quick;
  settings.warmup_steps = quick ? 5 : 10;
  settings.warmup_seconds = quick ? 0.3 : 1;
  settings.least_seconds = quick ? 0.3 : 1;
  settings.repeats = quick ? 3 : 5;
  settings.subjects = {{"quick", 64, quick ? 150U : 600U},
                       {"quick", 256, quick ? 50U : 235U},
                       {"pytorch-example", 64, quick ? 30U : 120U},
                       {"tf-sample", 128, quick ? 15U : 60U}};
  return settings;
}

std::vector<std::string> bench_precisions(const DeviceInfo& info) {
  std::vector<std::string> names;
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16})
    if (info.gpu ? capability_has(info.gpu->major, precision) : cpu_has(precision))
      names.emplace_back(precision_name(precision));
  return names;
}

Spread epoch_seconds(const BenchResult& result, std::uint64_t epoch_images) {
  std::vector<double> seconds;
  for (const BenchRepeat& repeat : result.repeats)
    seconds.push_back(repeat.seconds * static_cast<double>(epoch_images) /
                      static_cast<double>(repeat.images));
  return spread_of(seconds);
}

double images_per_second(const BenchResult& result) {
  return 1 / epoch_seconds(result, 1).median;
}

std::optional<double> fraction_of_peak(const BenchResult& result) {
  if (!(result.peak.per_second > 0)) return std::nullopt;
  return images_per_second(result) * static_cast<double>(result.training_flops) / result.peak.per_second;
}

BenchResult time_training(const Setup& setup, Backend& backend, const BenchSettings& settings,
                          const BenchSubject& subject, const std::function<void(int)>& repeat_done) {
  BenchResult result;
  result.subject = subject;
  result.parameters = setup.plan.parameters;
  result.training_flops = setup.plan.training_flops;
  TimedTraining training(setup, backend, settings);
  result.memory_bytes = training.memory_bytes();
  training.run(settings.warmup_steps, settings.warmup_seconds);
  repeat_done(0);
  for (int done = 1; done <= settings.repeats; ++done) {
    result.repeats.push_back(training.run(subject.steps, settings.least_seconds));
    repeat_done(done);
  }
  return result;
}

}  // namespace trainer
