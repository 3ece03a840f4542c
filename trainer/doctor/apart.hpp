// Work that may hang or crash, in a child process that tells what it finds. It dies with this process. One that hangs within a driver
// does not die of SIGKILL, so it is not waited for, and holds none of our streams, which a caller may read to the end.
#pragma once

#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace trainer::doctor {

using Tell = std::function<void(const nlohmann::ordered_json&)>;

struct Told {
  std::vector<nlohmann::ordered_json> values = {};  // those told within the limit
  bool ended = false;                               // it did its work, or threw
  bool crashed = false;                             // a signal ended it
  std::string error = {};                           // what the exception says, or why no process was started
};

Told work_apart(const std::function<void(const Tell&)>& work,
                double seconds = std::numeric_limits<double>::infinity());

}  // namespace trainer::doctor
