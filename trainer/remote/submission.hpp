// trainer submit: one training, run where a target says, with the same record and the same exit status as
// here.
#pragma once

#include "trainer/remote/target_files.hpp"
#include "trainer/remote/target_run.hpp"
#include "trainer/store/environment.hpp"

namespace trainer {

struct Submission {
  NamedTarget named;    // its arguments are those of this submission
  bool detach = false;  // come back as soon as the container runs
  double reconnect_seconds = kReconnectSeconds;
};

// The exit status: the run's own, 0 for a detached one. Throws UsageError, TargetError, FileError; what
// failed stands in the run's record too.
int submit(const Environment& environment, const Submission& submission);

// The target that the record names, as its files say now: an address may have changed.
[[nodiscard]] Target target_of(const Environment& environment, const RunRecord& record);

// Follows a submitted run, by its folder, to its end; one that has ended already says so and gives its status
// again. Throws as submit does, and FileError where another process follows it.
int follow_submitted(const Environment& environment, const std::filesystem::path& folder,
                     const FollowOptions& options);

}  // namespace trainer
