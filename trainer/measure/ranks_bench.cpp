// How long something lasts is decided by rank 0's clock, so that all ranks repeat it as often.

#include <algorithm>
#include <fmt/format.h>

#include "trainer/console/text_table.hpp"
#include "trainer/measure/bench.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/train/rank_share.hpp"

namespace trainer {

namespace {

using Json = nlohmann::ordered_json;

constexpr int kBits[] = {32, 16, 1};
constexpr double kLongest = 300;    // seconds that a rank may take for one of the measurements
constexpr int kMostExchanges = 20;  // in a row: the sums grow with each
constexpr std::uint64_t kLeastSteps = 3;

class RanksMeasurement {
 public:
  explicit RanksMeasurement(const RanksBenchCall& call) : call_(call), ranks_(call.ranks) {}

  Json time_size(std::size_t bytes) {
    const std::unique_ptr<Backend> backend = call_.open();
    backend->join({.ranks = &ranks_, .batch = ranks_.size(), .first = ranks_.rank()});
    ExchangeDesc desc{.ranks = &ranks_, .floats = bytes / sizeof(float)};
    const std::size_t rows = std::clamp<std::size_t>(desc.floats / 64, 1, 1024);
    for (std::size_t at = 0; at < desc.floats; at += rows)
      desc.columns.push_back({at, std::min(rows, desc.floats - at)});
    return time_exchange({{"gradient", ""}, {"bits", 32}}, bytes, *backend->prepare_exchange(desc), *backend);
  }

  Json time_gradient(const Spec& spec, int bits) {
    Setup setup = make_setup(spec, {}, std::move(call_.dataset));
    const std::unique_ptr<Backend> backend = open_joined(setup, bits);
    Network network(setup.plan, *backend, Purpose::training, setup.rule.optimizers);
    call_.dataset = std::move(setup.dataset);
    return time_exchange({{"gradient", spec.name}, {"bits", bits}}, network.memory().gradients,
                         *network.exchange(), *backend);
  }

  // Images a second; 0 on the other ranks.
  double speed_alone(const Spec& spec) {
    double speed = 0;
    ranks_.begin(spec.name + " on rank 0 alone", kLongest);
    if (ranks_.rank() == 0) {
      Setup setup = make_setup(spec, {}, std::move(call_.dataset));
      speed = images_per_second(time_steps(setup, *call_.open(), [](double seconds) { return seconds; }));
      call_.dataset = std::move(setup.dataset);
    }
    meet();
    return speed;
  }

  Json time_together(const Spec& spec, int bits, double alone) {
    Setup setup = make_setup(spec, {}, std::move(call_.dataset));
    const std::unique_ptr<Backend> backend = open_joined(setup, bits);
    ranks_.begin(fmt::format("{} on all ranks with {} bits", spec.name, bits), kLongest);
    BenchResult result = time_steps(setup, *backend, [&](double own) { return gathered(own, ranks_)[0]; });
    for (BenchRepeat& repeat : result.repeats) repeat.seconds = slowest(repeat.seconds);
    call_.dataset = std::move(setup.dataset);
    const double speed = images_per_second(result);
    return {{"model", spec.name},
            {"batch", spec.recipe.batch},
            {"bits", bits},
            {"images_per_second_alone", alone},
            {"images_per_second", speed},
            {"efficiency", alone > 0 ? Json(speed / (ranks_.size() * alone)) : Json()}};
  }

 private:
  void meet() { (void)gathered(char{}, ranks_); }
  double slowest(double seconds) { return std::ranges::max(gathered(seconds, ranks_)); }

  std::unique_ptr<Backend> open_joined(Setup& setup, int bits) {
    setup.settings.gradient_bits = bits;
    std::unique_ptr<Backend> backend = call_.open();
    backend->join(share_out(setup, ranks_));
    return backend;
  }

  Json time_exchange(Json row, std::size_t bytes, GradientExchange& exchange, Backend& backend) {
    const std::vector<float> gradient(bytes / sizeof(float), 1e-3F);
    const Buffer dw = backend.allocate(bytes, "gradient");
    const Buffer state = backend.allocate(sizeof(StepState), "state");
    ranks_.begin(fmt::format("exchanges of {} bytes", bytes), kLongest);
    const auto seconds_of = [&](int exchanges) {
      backend.upload(dw.data(), gradient.data(), bytes);
      meet();
      const Clock::time_point start = Clock::now();
      for (int i = 0; i < exchanges; ++i) exchange.run(dw.floats(), state.as<StepState>());
      backend.wait();
      return slowest(seconds_since(start)) / exchanges;
    };
    seconds_of(1);
    const int exchanges = static_cast<int>(
        std::clamp<double>(call_.settings.exchange_seconds / seconds_of(1), 1, kMostExchanges));
    std::vector<double> seconds(static_cast<std::size_t>(call_.settings.repeats));
    for (double& of_repeat : seconds) of_repeat = seconds_of(exchanges);
    const Spread spread = spread_of(seconds);
    const double bandwidth = static_cast<double>(bytes) / spread.median;
    row.update({{"bytes", bytes},
                {"sent", exchange.count().bytes / exchange.count().steps},
                {"seconds", {{"median", spread.median}, {"min", spread.least}, {"max", spread.most}}},
                {"bytes_per_second", bandwidth},
                {"bus_bytes_per_second", bandwidth * 2 * (ranks_.size() - 1) / ranks_.size()}});
    return row;
  }

  // `agreed` turns a rank's time into that of all.
  BenchResult time_steps(const Setup& setup, Backend& backend, const std::function<double(double)>& agreed) {
    BenchSettings timing;
    timing.repeats = 1;
    timing.warmup_steps = 1;
    BenchSubject subject{setup.spec.name, setup.spec.recipe.batch, kLeastSteps};
    const auto time = [&] { return time_training(setup, backend, timing, subject, [](int) {}); };
    const double step = agreed(time().repeats[0].seconds) / static_cast<double>(kLeastSteps);
    subject.steps = std::max(kLeastSteps, static_cast<std::uint64_t>(call_.settings.training_seconds / step));
    timing.repeats = call_.settings.repeats;
    return time();
  }

  const RanksBenchCall& call_;
  Communicator& ranks_;
};

}  // namespace

RanksBenchSettings ranks_bench_settings(bool quick, const std::vector<Spec>& shipped) {
  RanksBenchSettings settings;
  settings.repeats = quick ? 3 : 7;
  settings.exchange_seconds = quick ? 0.02 : 0.1;
  settings.training_seconds = quick ? 0.3 : 1;
  const std::size_t largest = std::size_t{quick ? 1U : 64U} << 20;
  for (std::size_t bytes = 4 << 10; bytes <= largest; bytes *= 4) settings.sizes.push_back(bytes);
  std::ranges::copy_if(shipped, std::back_inserter(settings.trainings),
                       [](const Spec& spec) { return spec.name == "quick" || spec.name == "tf-sample"; });
  settings.gradients = quick ? settings.trainings : shipped;
  return settings;
}

Json bench_ranks(const RanksBenchCall& call) {
  RanksMeasurement measurement(call);
  Json bench{{"ranks", call.ranks.size()}, {"machines", places_of(call.ranks).machines}};
  for (const std::size_t bytes : call.settings.sizes)
    bench["exchanges"].push_back(measurement.time_size(bytes));
  for (const Spec& spec : call.settings.gradients)
    for (const int bits : kBits) bench["exchanges"].push_back(measurement.time_gradient(spec, bits));
  for (const Spec& spec : call.settings.trainings) {
    const double alone = measurement.speed_alone(spec);
    for (const int bits : kBits) bench["scaling"].push_back(measurement.time_together(spec, bits, alone));
  }
  return bench;
}

std::string ranks_bench_table(const Json& bench) {
  const auto number = [](const Json& value, double unit) {
    return fmt::format("{:.3f}", value.get<double>() / unit);
  };
  TextTable exchanges(
      {{"gradient"}, {">bytes"}, {">bits"}, {">sent"}, {">ms (min to max)"}, {">GB/s"}, {">bus GB/s"}});
  for (const Json& row : bench["exchanges"]) {
    const Json& s = row["seconds"];
    exchanges.add({row["gradient"], row["bytes"].dump(), row["bits"].dump(), row["sent"].dump(),
                   fmt::format("{} ({} to {})", number(s["median"], 1e-3), number(s["min"], 1e-3),
                               number(s["max"], 1e-3)),
                   number(row["bytes_per_second"], 1e9), number(row["bus_bytes_per_second"], 1e9)});
  }
  TextTable scaling({{"training"},
                     {">batch"},
                     {">bits"},
                     {">images/s: 1 rank"},
                     {fmt::format(">{} ranks", bench["ranks"].get<int>())},
                     {">efficiency"}});
  for (const Json& row : bench["scaling"])
    scaling.add({row["model"], row["batch"].dump(), row["bits"].dump(),
                 count_text(row["images_per_second_alone"]), count_text(row["images_per_second"]),
                 fmt::format("{:.0f} %", 100 * row["efficiency"].get<double>())});
  return exchanges.text(kWideGap) +
         "GB/s: bytes / time; of the bus: times 2 (n - 1) / n, as in nccl-tests\n\n" + scaling.text(kWideGap);
}

}  // namespace trainer
