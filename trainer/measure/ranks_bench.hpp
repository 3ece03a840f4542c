// `trainer bench` on several ranks: what an exchange costs on their network, and how much faster they train together. Rank 0's table
// and record, in the terms of nccl-tests:
//   bandwidth of the algorithm = bytes of the gradient / time; of the bus = that times 2 (n - 1) / n, which no number of ranks changes.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "trainer/measure/bench.hpp"

namespace trainer {

struct RanksBenchSettings {
  std::vector<std::size_t> sizes;  // bytes of plain exchanges, of 32 bits
  std::vector<Spec> gradients;     // networks whose gradients are exchanged
  std::vector<Spec> trainings;     // networks that are trained by rank 0 alone, and by all
  int repeats = 0;
  double exchange_seconds = 0;  // a repeat lasts so long, or at least one exchange, or three steps
  double training_seconds = 0;
};
// `shipped` are the shipped networks.
RanksBenchSettings ranks_bench_settings(bool quick, const std::vector<Spec>& shipped);

struct ExchangeResult {
  std::string what;  // a network; empty: of any gradient
  int bits = 32;
  std::uint64_t bytes = 0;  // of the gradient in 32 bits
  std::uint64_t sent = 0;   // by this rank
  Spread seconds;           // of the slowest rank
};
double algorithm_bandwidth(const ExchangeResult& result);  // bytes a second
double bus_bandwidth(const ExchangeResult& result, int ranks);

struct ScalingResult {
  BenchResult alone;  // rank 0's, with the same batch
  BenchResult all;
  int bits = 32;
};
// How much of the ranks' speed is left of what as many times the speed of one would be.
double efficiency(const ScalingResult& result, int ranks);

struct RanksBench {
  int ranks = 0;
  int machines = 0;
  std::vector<ExchangeResult> exchanges;
  std::vector<ScalingResult> scaling;
};

struct RanksBenchCall {
  Communicator& ranks;
  RanksBenchSettings settings;
  data::Dataset& dataset;                          // given back
  std::function<std::unique_ptr<Backend>()> open;  // makes a new backend
};
// Every rank calls it alike; the result is rank 0's. Throws RankLost.
RanksBench bench_ranks(const RanksBenchCall& call);

std::string ranks_bench_table(const RanksBench& bench);
nlohmann::ordered_json to_json(const RanksBench& bench);

}  // namespace trainer
