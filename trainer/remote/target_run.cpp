// A run in a container, followed over a connection that may break.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <fmt/format.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include "trainer/remote/submission.hpp"
#include "trainer/system/clock.hpp"

namespace trainer {

namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr double kUsefulSeconds =
    20;  // a failed attempt to connect takes less; a connection that lasted longer was useful

// An error ends this program only: the run goes on.
void write_out(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0)
      throw std::system_error(errno, std::generic_category(),
                              "the output cannot be written (the run continues: trainer runs attach)");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void move_into(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) throw FileError(fmt::format("cannot write {}: {}", to.string(), error.message()));
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

void TargetRun::record_failure(const std::string& reason) {
  if (before_)
    write_run_record(folder_->file(kRunRecordName), *before_);
  else if (folder_)
    close_as_failed(folder_->path(), record_, reason);
}

void TargetRun::note(const std::string& reason) {
  record_.reason = reason;
  if (folder_) write_run_record(folder_->file(kRunRecordName), record_);
}

void TargetRun::give_up(const Failure& failure, bool is_over) {
  const TargetError error(connection_.target(), failure);
  if (is_over)
    record_failure(error.what());
  else
    note(error.what());
  throw TargetError(error);
}

// A lost connection says nothing about the run, whose record therefore stays open, with the reason.
void TargetRun::fail(const ProcessOutput& output) {
  Failure failure = connection_.explain(output);
  const bool may_go_on = failure.key != "docker-no-container";
  if (may_go_on)
    failure.fix += fmt::format("{}the run may continue there; follow it with: trainer runs attach {}; {}",
                               failure.fix.empty() ? "" : "; ", id_, ways_on(id_));
  give_up(failure, !may_go_on);
}

void TargetRun::start(const ContainerRun& run) {
  ProcessOutput output = connection_.capture(run_words(connection_.target(), run));
  if (output.code == 0 && !run.resumed.empty()) {
    output = put_run(connection_, id_, run.resumed);
    if (output.code == 0) output = connection_.capture(docker_words({"start"}, id_));
  }
  if (output.code == 0) {
    record_.target["started"] = iso_time(std::time(nullptr));
    return note("");
  }
  const Failure failure = connection_.explain(output);
  if (failure.kind == FailureClass::unreachable) fail(output);
  // A container that was made but could not be started remains and is removed, unless the name is another run's.
  if (failure.key != "docker-name-taken") remove_container();
  give_up(failure, true);
}

// What was fetched goes last: as long as it is there, the container may be, too.
void TargetRun::remove_container() const {
  (void)connection_.capture(docker_words({"rm", "--force", "--volumes"}, id_));
  std::error_code ignored;
  if (folder_) fs::remove_all(folder_->file(kFetchedName), ignored);
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
    (void)connection_.capture(docker_words({"kill", "--signal", "INT"}, id_));
  }
  return 0;
}

bool TargetRun::is_lost(int code) const {
  return connection_.target().is_remote() && code == kSshFailed && !is_to_leave();
}

void TargetRun::pause(double seconds) {
  const Clock::time_point end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  while (Clock::now() < end && act_on_signals() == 0) std::this_thread::sleep_for(kTick);
}

void TargetRun::reconnect() {
  const std::vector<double> pauses = reconnection_pauses(options_.reconnect_seconds);
  ProcessOutput answer{kSshFailed, "", "it was lost while the run continued"};
  while (attempts_ < pauses.size()) {
    const double seconds = pauses[attempts_++];
    notice(fmt::format("lost the connection to {}; trying again in {:.2g} s ({} of {})",
                       connection_.target().name, seconds, attempts_, pauses.size()));
    pause(seconds);
    if (is_to_leave()) return;
    answer = connection_.capture(state_words(id_));
    if (!is_lost(answer.code)) return;
    if (connection_.explain(answer).kind != FailureClass::unreachable) break;
  }
  if (!is_to_leave()) fail(answer);
}

// Runs a program, again after each lost connection, until it ends for another reason or it is time to leave. Returns its exit
// status.
int TargetRun::until_answered(const std::function<ProcessCall()>& call) {
  for (;;) {
    const std::uint64_t shown = shown_out_ + shown_err_;
    const Clock::time_point start = Clock::now();
    Process process(call());
    while (process.pump()) process.send(act_on_signals());
    const int code = process.end().code;
    if (!is_lost(code)) return code;
    if (shown_out_ + shown_err_ > shown || seconds_since(start) > kUsefulSeconds) attempts_ = 0;
    reconnect();
    if (is_to_leave()) return code;
  }
}

// docker logs begins with the first line each time, so what has been shown already is skipped.
void TargetRun::stream() {
  const fs::path folder = folder_ ? folder_->path() : fs::path();
  ResumeLine out_line(folder);
  ResumeLine err_line(folder);
  const auto show = [&](int descriptor, std::uint64_t* shown, ResumeLine* line) {
    return [descriptor, shown, line, known = *shown,
            answer = AnswerStream(connection_.is_marked())](std::string_view piece) mutable {
      std::string_view text = answer(piece);
      const std::size_t passed = std::min<std::uint64_t>(known, text.size());
      known -= passed;
      text.remove_prefix(passed);
      *shown += text.size();
      write_out(descriptor, (*line)(text));
    };
  };
  // The exit status does not matter: wait_for_end asks for that of the container.
  (void)until_answered([&] {
    return ProcessCall{.words = connection_.words(docker_words({"logs", "--follow"}, id_), true),
                       .out = show(STDOUT_FILENO, &shown_out_, &out_line),
                       .err = show(STDERR_FILENO, &shown_err_, &err_line),
                       .own_group = true};
  });
}

void TargetRun::wait_for_end() {
  ProcessOutput output;
  const auto keep = [&](std::string_view text) { output.err += text; };
  const auto skip = [](std::string_view) {};
  output.code = until_answered([&] {
    output.err.clear();
    return ProcessCall{
        .words = connection_.words(docker_words({"wait"}, id_)), .out = skip, .err = keep, .own_group = true};
  });
  output = connection_.answer(std::move(output));
  if (output.code != 0 && !is_to_leave()) fail(output);
}

int TargetRun::follow(const FollowOptions& options) {
  options_ = options;
  if (options_.output) stream();
  if (!is_to_leave()) wait_for_end();
  if (!is_to_leave()) return finish();
  notice(fmt::format("left the run to itself; pick it up with: trainer runs attach {}", id_));
  return 128 + signals_.stop_signal();
}

RunEnd TargetRun::end() {
  const ProcessOutput output = connection_.capture(state_words(id_));
  const std::optional<RunEnd> end = parse_state(output.out);
  if (output.code != 0 || !end) fail(output);
  return *end;
}

// Moves what was fetched into the run's folder and closes the record. Returns false, and does nothing, if there is nothing to
// fetch because the command line was wrong: the container's output says so, and such a run leaves nothing here.
bool TargetRun::merge_fetched(RunEnd& end) {
  const fs::path staging = folder_->file(kFetchedName);
  std::error_code ignored;
  std::optional<Fetched> fetched;
  try {
    fetched = fetch_run(connection_, id_, staging);
  } catch (const std::runtime_error& error) {
    fs::remove_all(staging, ignored);
    note(error.what());
    throw;
  }
  if (end.exit_code == 2 && before_) {
    record_failure("");
    return true;
  }
  if (!fetched && end.exit_code == 2) return false;
  RunEnd said = end;
  const Failure words = fetched || !end.text.empty() ? Failure{} : last_words();
  if (!words.cause.empty()) {
    said.text = fmt::format("the program ended with status {} before the run began: {}", end.exit_code,
                            words.text(": "));
    if (!words.key.empty()) end = said;
  }
  if (fetched) {
    record_.target["sha256"] = fetched->digests;
    for (const auto& [name, digest] : fetched->digests)
      if (name != kRunRecordName) move_into(fetched->folder / name, folder_->file(name));
  }
  const fs::path own = fetched ? fetched->folder / kRunRecordName : fs::path();
  close_record(folder_->path(), record_, own, said);
  return true;
}

// A container that left no folder has said why it did not begin, unless it was killed.
Failure TargetRun::last_words() const {
  const ProcessOutput logs = connection_.capture(docker_words({"logs", "--tail", "3"}, id_));
  return logs.err.empty() ? Failure{} : connection_.explain(logs);
}

int TargetRun::finish() {
  RunEnd end = this->end();
  const bool taken = folder_ && merge_fetched(end);
  remove_container();
  if (!end.text.empty()) notice("error: " + end.text);
  if (!folder_) return end.exit_code;
  const fs::path path = folder_->path();
  if (taken) {
    notice(fmt::format("{:<14}{}", record_.target.contains("sha256") ? "fetched" : "record", path.string()));
    if (read_run_record(folder_->file(kRunRecordName)).status == RunStatus::kStopped)
      notice(fmt::format("{:<14}trainer submit -c {} --resume {}", "or there with", connection_.target().name,
                         path.string()));
  } else if (std::error_code ignored; !fs::exists(folder_->file(kCheckpointName), ignored)) {
    folder_.reset();
    fs::remove_all(path, ignored);
  }
  return end.exit_code;
}

}  // namespace trainer
