#include "trainer/remote/target_run.hpp"

#include <cerrno>
#include <csignal>
#include <ctime>
#include <fmt/format.h>
#include <system_error>
#include <unistd.h>

#include "trainer/files.hpp"
#include "trainer/remote/fetch.hpp"
#include "trainer/remote/target_record.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

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
  const bool may_go_on = failure.kind != FailureKind::no_container;
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
  if (failure.kind == FailureKind::unreachable) fail(output);
  // A container that could be made but not started stays behind; one of another run's is not ours to remove.
  if (failure.kind != FailureKind::name_taken) (void)connection_.capture(docker::remove(id_));
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

void TargetRun::stream() {
  ProcessCall call;
  call.words = connection_.words(docker::logs(id_));
  call.own_group = true;
  call.out = [](std::string_view text) { hand_on(STDOUT_FILENO, text); };
  call.err = [](std::string_view text) { hand_on(STDERR_FILENO, text); };
  call.each_tick = [this] { return act_on_signals(); };
  constexpr int kSshFailed = 255;  // any other end shows when the container is asked
  const int code = run_process(call).code;
  if (code == kSshFailed && !is_to_leave()) fail({code, "", "it was lost while the run went on"});
}

void TargetRun::wait_for_end() {
  ProcessOutput output;
  ProcessCall call;
  call.words = connection_.words({"docker", "wait", "--", id_});
  call.own_group = true;
  call.out = [&](std::string_view text) { output.out += text; };
  call.err = [&](std::string_view text) { output.err += text; };
  call.each_tick = [this] { return act_on_signals(); };
  output.code = run_process(call).code;
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
