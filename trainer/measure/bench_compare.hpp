// `trainer bench --compare`: records side by side.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/measure/bench_record.hpp"

namespace trainer {

struct NamedRecord {
  std::string name;  // its path: for errors and the legend
  BenchRecord record;
};

// Refuses records that were not made alike: another version, other settings, another data set, a network that
// has other sizes, or no precision in common. Throws UsageError with both names and the difference.
void require_comparable(const std::vector<NamedRecord>& records);

// Both need comparable records. What a record does not have is "-" or null; speeds are shares of the first
// record's, from the medians.
std::string comparison_table(const std::vector<NamedRecord>& records);
nlohmann::ordered_json comparison_json(const std::vector<NamedRecord>& records);

}  // namespace trainer
