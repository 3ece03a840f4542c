// trainer target check: what a target needs before a training can run there, one row a need, a fix for each
// that is not met. A need that cannot be looked at because an earlier one is not met is said to be so.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/remote/connection.hpp"

namespace trainer {

enum class CheckState : std::uint8_t { good, warning, failed, unknown };

struct CheckRow {
  std::string what;  // "Docker"
  CheckState state = CheckState::unknown;
  std::string found;  // "28.2.2, linux/x86_64"
  std::string fix;    // of a warning or a failure
};

// Throws nothing of what it finds: a machine that is not there is a row.
[[nodiscard]] std::vector<CheckRow> check_target(const Connection& connection);

// Only failed rows make a target unfit.
[[nodiscard]] bool is_fit(const std::vector<CheckRow>& rows);

[[nodiscard]] std::string check_table(const std::vector<CheckRow>& rows);  // lines, each ended
[[nodiscard]] nlohmann::ordered_json check_json(const std::vector<CheckRow>& rows);

}  // namespace trainer
