// A submitted run that goes on: its folder is copied into a new container, where `train --resume` finds it, and comes back as
// after any other run.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "trainer/remote/connection.hpp"

namespace trainer {

// Passes on the pieces of a training's output. A line that says how to go on names the run's folder in the container, which ends
// with it; here it names `folder`.
class ResumeLine {
 public:
  explicit ResumeLine(const std::filesystem::path& folder) : folder_(folder.string()) {}
  std::string operator()(std::string_view piece);

 private:
  std::string folder_;
  std::string held_;  // the beginning of a line that may be such a one
  bool passes_ = false;
};

// Copies what a training goes on from out of the run's folder `folder` into the container `id`, which has not been started, as a
// folder that any user may write. Throws TargetError.
void put_run(const Connection& connection, const std::string& id, const std::filesystem::path& folder);

}  // namespace trainer
