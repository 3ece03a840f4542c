// trainer target check: what a target needs before a training can run there, one row a need, a fix for each
// that is not met. A need that cannot be looked at because an earlier one is not met is said to be so.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "trainer/console/check.hpp"
#include "trainer/remote/connection.hpp"

namespace trainer {

// Throws nothing of what it finds: a machine that is not there is a check. Only problems make a target unfit.
[[nodiscard]] std::vector<Check> check_target(const Connection& connection);

[[nodiscard]] nlohmann::ordered_json target_check_json(const std::vector<Check>& checks);

}  // namespace trainer
