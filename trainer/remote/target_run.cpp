#include "trainer/remote/target_run.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <fmt/format.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include "trainer/remote/fetch.hpp"
#include "trainer/remote/target_record.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::seconds kUsefulConnection{20};  // more than an attempt that fails takes

// The run goes on, only nobody can be shown its output here.
void hand_on(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0)
      throw std::system_error(errno, std::generic_category(),
                              "the output cannot be written (the run goes on: trainer runs attach)");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void notice(const std::string& text) {
  fmt::print(stderr, "{}\n", text);
}

}  // namespace

std::vector<double> reconnection_pauses(double seconds) {
  constexpr double kFirst = 0.5;
  constexpr double kLongest = 30;
  std::vector<double> pauses;
  for (double pause = kFirst; seconds > 0; pause = std::min(2 * pause, kLongest)) {
    pauses.push_back(std::min(pause, seconds));
    seconds -= pause;
  }
  return pauses;
}

TargetRun::TargetRun(Connection connection, std::string id, std::optional<RunFolder> folder, RunRecord record)
    : connection_(std::move(connection)),
      id_(std::move(id)),
      folder_(std::move(folder)),
      record_(std::move(record)) {}

void TargetRun::record_failure(const std::string& reason) {
  if (folder_) close_as_failed(folder_->path(), record_, reason);
}

void TargetRun::note(const std::string& reason) {
  record_.reason = reason;
  if (folder_) write_run_record(folder_->file(kRunRecordName), record_);
}

// A connection that is lost says nothing about the run: its record stays open, with the reason.
void TargetRun::fail(const ProcessOutput& output) {
  Failure failure = explain_failure(connection_.target(), output);
  const bool may_go_on = failure.key != "docker-no-container";
  if (may_go_on)
    failure.fix += fmt::format("{}the run may go on there, pick it up with: trainer runs attach {}",
                               failure.fix.empty() ? "" : "; ", id_);
  const TargetError error(connection_.target(), failure);
  if (may_go_on)
    note(error.what());
  else
    record_failure(error.what());
  throw TargetError(error);
}

void TargetRun::start(const ContainerRun& run) {
  const ProcessOutput output = connection_.capture(docker::run(run));
  if (output.code == 0) {
    record_.target["started"] = iso_time(std::time(nullptr));
    note("");
    return;
  }
  const Failure failure = explain_failure(connection_.target(), output);
  if (failure.kind == FailureClass::unreachable) fail(output);
  // A container that could be made but not started stays behind; one of another run's is not ours to remove.
  if (failure.key != "docker-name-taken") (void)connection_.capture(docker::remove(id_));
  const TargetError error(connection_.target(), failure);
  record_failure(error.what());
  throw TargetError(error);
}

bool TargetRun::is_to_leave() const {
  const int signal = signals_.stop_signal();
  return signal == SIGTERM || (signal == SIGINT && !options_.interrupt_stops);
}

int TargetRun::act_on_signals() {
  if (is_to_leave()) return SIGTERM;
  if (signals_.stop_signal() == SIGINT && !stop_sent_) {
    stop_sent_ = true;
    notice("stopping the run, which saves first; a second Ctrl-C leaves it to itself");
    (void)connection_.capture(docker::kill(id_, "INT"));
  }
  return 0;
}

bool TargetRun::is_lost(int code) const {
  constexpr int kSshFailed = 255;
  return connection_.target().is_remote() && code == kSshFailed && !is_to_leave();
}

void TargetRun::pause(double seconds) {
  const Clock::time_point end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  while (Clock::now() < end && act_on_signals() == 0) std::this_thread::sleep_for(kTick);
}

void TargetRun::reconnect() {
  const std::vector<double> pauses = reconnection_pauses(options_.reconnect_seconds);
  ProcessOutput answer{255, "", "it was lost while the run went on"};
  while (attempts_ < pauses.size()) {
    const double seconds = pauses[attempts_++];
    notice(fmt::format("lost the connection to {}; trying again in {:.2g} s ({} of {})",
                       connection_.target().name, seconds, attempts_, pauses.size()));
    pause(seconds);
    if (is_to_leave()) return;
    answer = connection_.capture(docker::state(id_));
    if (!is_lost(answer.code)) return;
    if (explain_failure(connection_.target(), answer).kind != FailureClass::unreachable) break;
  }
  if (!is_to_leave()) fail(answer);
}

int TargetRun::run(const ProcessCall& call) {
  Process process(call);
  while (process.hand_on()) process.send(act_on_signals());
  return process.end().code;
}

// Each time docker tells all from the beginning: what was shown already is passed over.
void TargetRun::stream() {
  for (;;) {
    const std::uint64_t before = shown_out_ + shown_err_;
    const auto show = [](int descriptor, std::uint64_t* shown) {
      return [descriptor, shown, known = *shown](std::string_view text) mutable {
        const std::size_t passed = std::min<std::uint64_t>(known, text.size());
        known -= passed;
        text.remove_prefix(passed);
        hand_on(descriptor, text);
        *shown += text.size();
      };
    };
    ProcessCall call;
    call.words = connection_.quiet_words(docker::logs(id_));
    call.own_group = true;
    call.out = show(STDOUT_FILENO, &shown_out_);
    call.err = show(STDERR_FILENO, &shown_err_);
    // Any end but that of a lost connection shows when the container is asked.
    if (!is_lost(run(call))) return;
    if (shown_out_ + shown_err_ > before) attempts_ = 0;
    reconnect();
    if (is_to_leave()) return;
  }
}

void TargetRun::wait_for_end() {
  for (;;) {
    const auto start = std::chrono::steady_clock::now();
    ProcessOutput output;
    ProcessCall call;
    call.words = connection_.words({"docker", "wait", "--", id_});
    call.own_group = true;
    call.out = [&](std::string_view text) { output.out += text; };
    call.err = [&](std::string_view text) { output.err += text; };
    output.code = run(call);
    if (!is_lost(output.code)) {
      if (output.code != 0 && !is_to_leave()) fail(output);
      return;
    }
    if (std::chrono::steady_clock::now() - start > kUsefulConnection) attempts_ = 0;
    reconnect();
    if (is_to_leave()) return;
  }
}

int TargetRun::follow(const FollowOptions& options) {
  options_ = options;
  if (options_.output) stream();
  if (!is_to_leave()) wait_for_end();
  if (!is_to_leave()) return finish();
  notice(fmt::format("left the run to itself; pick it up with: trainer runs attach {}", id_));
  return 128 + signals_.stop_signal();
}

ContainerState TargetRun::state() {
  const ProcessOutput output = connection_.capture(docker::state(id_));
  const std::optional<ContainerState> state = parse_state(output.out);
  if (output.code != 0 || !state) fail(output);
  return *state;
}

void TargetRun::remove_folder() {
  const fs::path path = folder_->path();
  folder_.reset();
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

int TargetRun::finish() {
  const ContainerState state = this->state();
  if (!folder_) {
    (void)connection_.capture(docker::remove(id_));
    return state.exit_code;
  }
  const fs::path staging = folder_->file(".fetched");
  std::error_code ignored;
  const std::optional<Fetched> fetched = [&] {
    try {
      return fetch_run(connection_, id_, staging);
    } catch (const std::runtime_error& error) {
      fs::remove_all(staging, ignored);
      note(error.what());
      throw;
    }
  }();
  // A wrong command line has said so; a run never was.
  const bool wrong_usage = !fetched && state.exit_code == 2;
  if (!wrong_usage) take_in(folder_->path(), record_, fetched, {state.exit_code, end_text(state)});
  fs::remove_all(staging, ignored);
  (void)connection_.capture(docker::remove(id_));
  if (const std::string text = end_text(state); !text.empty()) notice("error: " + text);
  if (wrong_usage) {
    remove_folder();
  } else {
    notice(fmt::format("{:<14}{}", fetched ? "fetched" : "record", folder_->path().string()));
  }
  return state.exit_code;
}

}  // namespace trainer
