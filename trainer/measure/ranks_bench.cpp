// How long something lasts is decided by rank 0's clock, so that all ranks repeat it as often.
#include "trainer/measure/ranks_bench.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "trainer/console/text_table.hpp"
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

  ExchangeResult time_size(std::size_t bytes) {
    const std::unique_ptr<Backend> backend = call_.open();
    ExchangeDesc desc{.ranks = &ranks_, .floats = bytes / sizeof(float)};
    const std::size_t rows = std::clamp<std::size_t>(desc.floats / 64, 1, 1024);
    for (std::size_t at = 0; at < desc.floats; at += rows)
      desc.columns.push_back({at, std::min(rows, desc.floats - at)});
    ExchangeResult result;
    result.bytes = bytes;
    return time_exchange(result, *backend->prepare_exchange(desc), *backend);
  }

  ExchangeResult time_gradient(const Spec& spec, int bits) {
    Setup setup = make_setup(spec, {}, std::move(call_.dataset));
    const std::unique_ptr<Backend> backend = open_joined(setup, bits);
    Network network(setup.plan, *backend, Purpose::training, setup.rule.optimizers);
    ExchangeResult result;
    result.what = spec.name;
    result.bits = bits;
    result.bytes = network.memory().gradients;
    call_.dataset = std::move(setup.dataset);
    return time_exchange(result, *network.exchange(), *backend);
  }

  BenchResult time_alone(const Spec& spec) {
    BenchResult result;
    ranks_.begin(spec.name + " on rank 0 alone", kLongest);
    if (ranks_.rank() == 0) {
      Setup setup = make_setup(spec, {}, std::move(call_.dataset));
      result = time_steps(setup, *call_.open(), [](double seconds) { return seconds; });
      call_.dataset = std::move(setup.dataset);
    }
    meet();
    return result;
  }

  BenchResult time_together(const Spec& spec, int bits) {
    Setup setup = make_setup(spec, {}, std::move(call_.dataset));
    const std::unique_ptr<Backend> backend = open_joined(setup, bits);
    ranks_.begin(fmt::format("{} on all ranks with {} bits", spec.name, bits), kLongest);
    BenchResult result = time_steps(setup, *backend, [&](double own) { return gathered(own, ranks_)[0]; });
    for (BenchRepeat& repeat : result.repeats) repeat.seconds = slowest(repeat.seconds);
    call_.dataset = std::move(setup.dataset);
    return result;
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

  ExchangeResult time_exchange(ExchangeResult result, GradientExchange& exchange, Backend& backend) {
    const std::vector<float> gradient(result.bytes / sizeof(float), 1e-3F);
    const Buffer dw = backend.allocate(result.bytes, "gradient");
    const Buffer state = backend.allocate(sizeof(StepState), "state");
    ranks_.begin(fmt::format("exchanges of {} bytes", result.bytes), kLongest);
    const auto seconds_of = [&](int exchanges) {
      backend.upload(dw.data(), gradient.data(), result.bytes);
      meet();
      const Clock::time_point start = Clock::now();
      for (int i = 0; i < exchanges; ++i) exchange.run(dw.floats(), state.as<StepState>());
      backend.wait();
      return slowest(seconds_since(start)) / exchanges;
    };
    seconds_of(1);
    const double wanted = call_.settings.exchange_seconds / seconds_of(1);
    const int exchanges = static_cast<int>(std::clamp<double>(std::ceil(wanted), 1, kMostExchanges));
    std::vector<double> seconds;
    for (int i = 0; i < call_.settings.repeats; ++i) seconds.push_back(seconds_of(exchanges));
    result.seconds = spread_of(seconds);
    result.sent = exchange.count().bytes / exchange.count().steps;
    return result;
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

double algorithm_bandwidth(const ExchangeResult& result) {
  return static_cast<double>(result.bytes) / result.seconds.median;
}

double bus_bandwidth(const ExchangeResult& result, int ranks) {
  return algorithm_bandwidth(result) * 2 * (ranks - 1) / ranks;
}

double efficiency(const ScalingResult& result, int ranks) {
  return images_per_second(result.all) / (ranks * images_per_second(result.alone));
}

RanksBench bench_ranks(const RanksBenchCall& call) {
  RanksMeasurement measurement(call);
  RanksBench bench;
  bench.ranks = call.ranks.size();
  bench.machines = places_of(call.ranks).machines;
  for (const std::size_t bytes : call.settings.sizes) bench.exchanges.push_back(measurement.time_size(bytes));
  for (const Spec& spec : call.settings.gradients)
    for (const int bits : kBits) bench.exchanges.push_back(measurement.time_gradient(spec, bits));
  for (const Spec& spec : call.settings.trainings) {
    const BenchResult alone = measurement.time_alone(spec);
    for (const int bits : kBits)
      bench.scaling.push_back({alone, measurement.time_together(spec, bits), bits});
  }
  return bench;
}

std::string ranks_bench_table(const RanksBench& bench) {
  TextTable exchanges(
      {{"gradient"}, {">bytes"}, {">bits"}, {">sent"}, {">ms (min to max)"}, {">GB/s"}, {">bus GB/s"}});
  for (const ExchangeResult& row : bench.exchanges) {
    const Spread& s = row.seconds;
    exchanges.add({row.what, std::to_string(row.bytes), std::to_string(row.bits), std::to_string(row.sent),
                   fmt::format("{:.3f} ({:.3f} to {:.3f})", 1e3 * s.median, 1e3 * s.least, 1e3 * s.most),
                   fmt::format("{:.3f}", algorithm_bandwidth(row) / 1e9),
                   fmt::format("{:.3f}", bus_bandwidth(row, bench.ranks) / 1e9)});
  }
  TextTable scaling({{"training"},
                     {">batch"},
                     {">bits"},
                     {">images/s: 1 rank"},
                     {fmt::format(">{} ranks", bench.ranks)},
                     {">efficiency"}});
  for (const ScalingResult& row : bench.scaling) {
    const BenchSubject& subject = row.all.subject;
    scaling.add({subject.model, std::to_string(subject.batch), std::to_string(row.bits),
                 fmt::format("{:.0f}", images_per_second(row.alone)),
                 fmt::format("{:.0f}", images_per_second(row.all)),
                 fmt::format("{:.0f} %", 100 * efficiency(row, bench.ranks))});
  }
  return exchanges.text(kWideGap) +
         "GB/s: bytes / time; of the bus: times 2 (n - 1) / n, as in nccl-tests\n\n" + scaling.text(kWideGap);
}

Json to_json(const RanksBench& bench) {
  Json json{{"ranks", bench.ranks}, {"machines", bench.machines}};
  for (const ExchangeResult& row : bench.exchanges) {
    const Spread& s = row.seconds;
    json["exchanges"].push_back({{"gradient", row.what},
                                 {"bits", row.bits},
                                 {"bytes", row.bytes},
                                 {"sent", row.sent},
                                 {"seconds", {{"median", s.median}, {"min", s.least}, {"max", s.most}}},
                                 {"bytes_per_second", algorithm_bandwidth(row)},
                                 {"bus_bytes_per_second", bus_bandwidth(row, bench.ranks)}});
  }
  for (const ScalingResult& row : bench.scaling) {
    json["scaling"].push_back({{"model", row.all.subject.model},
                               {"batch", row.all.subject.batch},
                               {"bits", row.bits},
                               {"images_per_second_alone", images_per_second(row.alone)},
                               {"images_per_second", images_per_second(row.all)},
                               {"efficiency", efficiency(row, bench.ranks)}});
  }
  return json;
}

}  // namespace trainer
