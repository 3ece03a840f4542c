// What `trainer sprint` says: lines for people, and the same as data for run.json and --json.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/measure/sprint.hpp"

namespace trainer {

// What the numbers of a sprint are times of; printed with them and kept beside them.
extern const char* const kSprintTimed;

// Everything that is known at the end of a sprint.
struct SprintReport {
  std::vector<SprintSeed> seeds;          // at least one
  std::uint64_t images = 0;               // of a training
  double target = 99;                     // per cent
  std::optional<double> process_seconds;  // of a process of its own for one seed, from exec to exit
  bool stopped = false;                   // by a signal: fewer seeds than were asked for
};

// "seed 3     99.05 +- 0.10 %   0.212 s"
std::string seed_line(const SprintSeed& seed);
// As a line of metrics.jsonl: a seed takes the place of an epoch.
nlohmann::ordered_json seed_json(const Setup& setup, const SprintReport& report, std::size_t index);

std::string sprint_text(const SprintReport& report);  // lines, each ended
// "99.05 +- 0.01 %: reached"
std::string verdict_text(const SprintReport& report);
nlohmann::ordered_json sprint_json(const SprintReport& report);

}  // namespace trainer
