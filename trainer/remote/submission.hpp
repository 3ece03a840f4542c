// Submitted runs: trainer submit, attach, wait and cancel. A submitted run has the same record and exit status as a run of
// `trainer train`; the key `target` of its record says where it ran. In a container it goes on without this program:
// if this program ends early (a lost connection, a kill, a closed terminal), `trainer runs attach` picks the run up again.
#pragma once

#include <filesystem>
#include <functional>
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

// The folder within a run's folder that receives what comes from its target; it stays until the container there is gone.
inline constexpr std::string_view kFetchedName = ".fetched";

inline constexpr double kReconnectSeconds = 60;

struct Submission {
  Target target;        // its arguments are those of this submission
  bool detach = false;  // return as soon as the container runs
  double reconnect_seconds = kReconnectSeconds;
  fs::path resumed = {};  // the folder of a run to continue
};

// Returns the run's exit status, 0 for a detached run. Throws UsageError, TargetError, FileError; the run's record holds the
// failure too.
int submit(const Environment& environment, const Submission& submission);

struct FollowOptions {
  bool output = true;  // show the container's output
  // Ctrl-C stops the run, which saves, and a second one leaves it to itself; otherwise the first one leaves it.
  bool interrupt_stops = false;
  double reconnect_seconds = kReconnectSeconds;  // how long to try again when the connection is lost
};

// The target that the record names, read from its files, since an address may have changed. Throws UsageError if the run was
// not submitted, or was submitted to a process of this machine, or if there is no such target any more.
[[nodiscard]] Target target_of(const Environment& environment, const RunRecord& record);

// Follows the submitted run in `folder` until it ends and returns its exit status, at once if it has ended already.
// Throws as submit does, and FileError if another process follows it.
int follow_submitted(const Environment& environment, const fs::path& folder, const FollowOptions& options);

// Makes a submitted run stop and save, and brings its folder back. Throws as follow_submitted does, and UsageError if the
// run has ended.
void cancel_submitted(const Environment& environment, const fs::path& folder);

// A target's run as a command job of Azure ML's CLI v2. Throws UsageError for a target without an image, and as submit does.
[[nodiscard]] std::string azureml_job(Target target, const fs::path& working_folder);

// Closes the record of a submitted run whose machine is gone for good. Throws UsageError if the run was not submitted or has
// ended, FileError if another process follows it.
void close_submitted(const fs::path& folder);

// A record is made here before the run begins, so that every failure is written down. The run's own record replaces it when
// it has been fetched.

// A training that begins now, with the --model and --seed of its arguments, or their defaults.
[[nodiscard]] NewRun new_run(const Words& arguments);

// The record of a run that begins now; `id` is the name of the run and of its container.
[[nodiscard]] RunRecord submitted_record(const Environment& environment, const Target& target,
                                         const std::string& id);

// What can be done about a run whose target fails, as a part of a fix.
[[nodiscard]] std::string ways_on(const std::string& id);

// The name of the container of the run in `folder`. Throws FileError if its record holds no valid name.
[[nodiscard]] std::string container_of(const fs::path& folder, const RunRecord& record);

// Writes the final record into `folder`: the run's own record, from the file `own`, with the target of `started` and the end. If
// the run did not close its record, or there is no such file (then `started` is written), it is closed as failed.
void close_record(const fs::path& folder, const RunRecord& started, const fs::path& own, const RunEnd& end);
void close_as_failed(const fs::path& folder, RunRecord record, const std::string& reason);

// The pauses before the attempts to connect again, in seconds. They begin with half a second, each is twice the one before,
// at most 30, and they add up to `seconds`.
[[nodiscard]] std::vector<double> reconnection_pauses(double seconds);

// One run in a container, from its start until its folder has been fetched.
class TargetRun {
 public:
  // `folder` is the run's folder, locked by this process; nothing for a run without a record. `before` is the earlier record of a
  // run that continues, which it keeps if it does not begin.
  TargetRun(Connection connection, std::string id, std::optional<RunFolder> folder, RunRecord record,
            std::optional<RunRecord> before = std::nullopt)
      : connection_(std::move(connection)),
        id_(std::move(id)),
        folder_(std::move(folder)),
        record_(std::move(record)),
        before_(std::move(before)) {}

  // Starts the container. Throws TargetError, whose text is in the record too.
  void start(const ContainerRun& run);

  // Shows the container's output until it ends, then fetches the run's folder and removes the container. Returns the
  // container's exit status, or 128 + signal if this program was told to leave.
  int follow(const FollowOptions& options);

  // Removes the container and what is left of the fetching, which the end of it does, too.
  void remove_container() const;

  // Closes the record as failed, for a failure outside the container.
  void record_failure(const std::string& reason);

 private:
  int finish();
  void note(const std::string& reason);  // writes it into the record, which stays open
  void stream();
  void wait_for_end();
  int until_answered(const std::function<ProcessCall()>& call);
  bool is_lost(int code) const;  // whether a command with this exit status lost its connection
  void reconnect();              // returns when the target answers or it is time to leave
  void pause(double seconds);
  int act_on_signals();  // returns a signal for the program that runs, or 0
  bool is_to_leave() const;
  RunEnd end();                     // how the container ended
  bool merge_fetched(RunEnd& end);  // adds the last words of a container that has left nothing else
  Failure last_words() const;
  [[noreturn]] void fail(const ProcessOutput& output);              // explains a command's output
  [[noreturn]] void give_up(const Failure& failure, bool is_over);  // throws TargetError; the record says so

  SignalGuard signals_;
  Connection connection_;
  std::string id_;
  std::optional<RunFolder> folder_;
  RunRecord record_;
  std::optional<RunRecord> before_;
  FollowOptions options_;
  bool stop_sent_ = false;
  std::uint64_t shown_out_ = 0;  // bytes of its standard output and standard error that have been shown
  std::uint64_t shown_err_ = 0;
  std::size_t attempts_ = 0;  // to connect again, since the last useful connection
};

}  // namespace trainer
