// Submitted runs: trainer submit, attach, wait and cancel. A run has the same record and the same exit status as one here,
// and a key `target` in its record that says where it ran. In a container it goes on without this program: whatever ends
// here early (a lost connection, a kill, a closed terminal) leaves the run and its record such that
// `trainer runs attach` picks it up again.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "trainer/remote/connection.hpp"
#include "trainer/remote/container.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/system/signals.hpp"

namespace trainer {

inline constexpr double kReconnectSeconds = 60;

struct Submission {
  Target target;        // its arguments are those of this submission
  bool detach = false;  // come back as soon as the container runs
  double reconnect_seconds = kReconnectSeconds;
};

// The exit status: the run's own, 0 for a detached one. Throws UsageError, TargetError, FileError; what
// failed stands in the run's record too.
int submit(const Environment& environment, const Submission& submission);

struct FollowOptions {
  bool output = true;  // show the container's
  bool interrupt_stops =
      false;  // the first Ctrl-C stops the run, which saves, the second leaves; else the first leaves
  double reconnect_seconds = kReconnectSeconds;  // for which a lost connection is tried again
};

// The target that the record names, as its files say now: an address may have changed. Throws UsageError where the run was not
// submitted, or to this machine's process.
[[nodiscard]] Target target_of(const Environment& environment, const RunRecord& record);

// Follows a submitted run, by its folder, to its end; one that has ended already says so and gives its status
// again. Throws as submit does, and FileError where another process follows it.
int follow_submitted(const Environment& environment, const std::filesystem::path& folder,
                     const FollowOptions& options);

// Has a submitted run stop and save, and brings its folder back. Throws as follow_submitted does, and UsageError where
// the run has ended.
void cancel_submitted(const Environment& environment, const std::filesystem::path& folder);

// The record of a submitted run. One is made here before the run begins, so that every failure has a place to be
// written down, and the run's own takes its place once it has come.

// --model and --seed of a training, or what it takes without them.
struct TrainingName {
  std::string model;
  std::uint64_t seed = 1;
};
[[nodiscard]] TrainingName training_name(const std::vector<std::string>& arguments);

// That of a run that begins now; id is the run's and its container's name.
[[nodiscard]] RunRecord submitted_record(const Environment& environment, const Target& target,
                                         const std::string& id);

// The name of the container of the run in `folder`. Throws FileError where its record holds none that docker takes.
[[nodiscard]] std::string container_of(const std::filesystem::path& folder, const RunRecord& record);

struct RunEnd {
  int exit_code = -1;
  std::string text;  // what was out of the ordinary; may be empty
};

// Writes into `folder` the run's own record, `own` (a file that need not be there), with the target of `begun` and the end. A
// record that the run did not close, and `begun` where there is no other, is closed as failed.
void close_record(const std::filesystem::path& folder, const RunRecord& begun,
                  const std::filesystem::path& own, const RunEnd& end);
void close_as_failed(const std::filesystem::path& folder, RunRecord record, const std::string& reason);

// Pauses before one attempt after the other to connect again, in seconds: from half a second on, each twice
// the one before and half a minute at most, `seconds` in all.
[[nodiscard]] std::vector<double> reconnection_pauses(double seconds);

// One run in a container, from its start to its folder here.
class TargetRun {
 public:
  // `folder` is the run's, held by this process; nothing for a run without record. Notices go to standard
  // error.
  TargetRun(Connection connection, std::string id, std::optional<RunFolder> folder, RunRecord record);

  // Starts the container. Throws TargetError; the record says why.
  void start(const ContainerRun& run);

  // Hands on the container's output until it ends, then fetches its folder and removes it. The exit status:
  // the container's, or 128 + signal where this program was told to leave.
  int follow(const FollowOptions& options);

  // Writes down what failed before or beside the container.
  void record_failure(const std::string& reason);

 private:
  int finish();
  void note(const std::string& reason);  // in the record, which stays open
  void stream();
  void wait_for_end();
  int until_answered(const std::function<ProcessCall()>& call);
  bool is_lost(int code) const;  // a command that ended so had no connection any more
  void reconnect();              // until the target answers, or it is time to leave
  void pause(double seconds);
  int act_on_signals();  // a signal for the program that streams, or 0
  bool is_to_leave() const;
  ContainerState state();
  bool take_in(const ContainerState& state);
  void remove_container() const;
  [[noreturn]] void fail(const ProcessOutput& output);              // of a command on the target
  [[noreturn]] void give_up(const Failure& failure, bool is_over);  // throws TargetError; the record says so

  SignalGuard signals_;
  Connection connection_;
  std::string id_;
  std::optional<RunFolder> folder_;
  RunRecord record_;
  FollowOptions options_;
  bool stop_sent_ = false;
  std::uint64_t shown_out_ = 0;  // bytes of the container's output, and of its errors
  std::uint64_t shown_err_ = 0;
  std::size_t attempts_ = 0;  // to connect again, since a connection was of use
};

}  // namespace trainer
