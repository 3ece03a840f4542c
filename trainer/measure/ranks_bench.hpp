// `trainer bench` on several ranks: what an exchange costs on their network, and how much faster they train together; in the terms of
// nccl-tests. The bandwidth of the algorithm is the gradient's bytes / time, that of the bus 2 (n - 1) / n times as much.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "trainer/train/setup.hpp"

namespace trainer {

struct RanksBenchSettings {
  std::vector<std::size_t> sizes = {};  // bytes of plain exchanges, of 32 bits
  std::vector<Spec> gradients = {};     // networks whose gradients are exchanged
  std::vector<Spec> trainings = {};     // networks that are trained by rank 0 alone, and by all
  int repeats = 0;
  double exchange_seconds = 0;  // a repeat lasts so long, or at least one exchange, or three steps
  double training_seconds = 0;
};
// `shipped` are the shipped networks.
RanksBenchSettings ranks_bench_settings(bool quick, const std::vector<Spec>& shipped);

struct RanksBenchCall {
  Communicator& ranks;
  RanksBenchSettings settings;
  data::Dataset& dataset;                          // given back
  std::function<std::unique_ptr<Backend>()> open;  // makes a new backend
};
// Every rank calls it alike and gets the number of ranks and machines, a row for each exchange, with the time of the slowest rank, and one
// for each training, which rank 0 alone can fill. Throws RankLost.
nlohmann::ordered_json bench_ranks(const RanksBenchCall& call);
std::string ranks_bench_table(const nlohmann::ordered_json& bench);

}  // namespace trainer
