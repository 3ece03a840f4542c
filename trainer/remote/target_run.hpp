// One run in a container, from its start to its folder here. The container goes on without this program:
// whatever ends here early (a lost connection, a kill, a closed terminal) leaves the run and its record such
// that `trainer runs attach` picks it up again.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/remote/connection.hpp"
#include "trainer/remote/container.hpp"
#include "trainer/remote/failure_text.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/system/signals.hpp"

namespace trainer {

// Pauses before one attempt after the other to connect again, in seconds: from half a second on, each twice
// the one before and half a minute at most, `seconds` in all.
[[nodiscard]] std::vector<double> reconnection_pauses(double seconds);

inline constexpr double kReconnectSeconds = 60;

struct FollowOptions {
  bool output = true;  // show the container's
  bool interrupt_stops =
      false;  // the first Ctrl-C stops the run, which saves, the second leaves; else the first
  double reconnect_seconds = kReconnectSeconds;  // for which a lost connection is tried again
};

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

  // What failed before or beside the container, for the record.
  void record_failure(const std::string& reason);

 private:
  int finish();
  void note(const std::string& reason);  // in the record, which stays open
  int run(const ProcessCall& call);      // its exit status
  void stream();
  void wait_for_end();
  bool is_lost(int code) const;  // a command that ended so had no connection any more
  void reconnect();              // until the target answers, or it is time to leave
  void pause(double seconds);
  int act_on_signals();  // a signal for the program that streams, or 0
  bool is_to_leave() const;
  ContainerState state();
  [[noreturn]] void fail(const ProcessOutput& output);
  void remove_folder();

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
