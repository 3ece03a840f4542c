#include "trainer/remote/submission.hpp"

#include <cstdio>
#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include "trainer/remote/prepare.hpp"
#include "trainer/remote/sent_files.hpp"
#include "trainer/remote/target_record.hpp"
#include "trainer/remote/training_words.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/signals.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

using Arguments = std::vector<std::string>;

void check_arguments(const Arguments& arguments) {
  if (arguments.empty() || arguments[0].empty() || arguments[0].starts_with('-'))
    throw UsageError("what to run is missing: trainer submit -c NAME -- train --epochs 10");
  if (arguments[0] == "submit" || arguments[0] == "prepare" || arguments[0] == "target")
    throw UsageError(fmt::format("{} runs here alone and cannot be submitted", arguments[0]));
  for (const std::string& argument : arguments)
    if (argument.find('\0') != std::string::npos) throw UsageError("an argument holds a zero byte");
  if (arguments[0] != "train") return;
  if (has_option(arguments, "--out"))
    throw UsageError("--out does not go with submit, which names the run's folder; TRAINER_RUNS moves it");
  if (has_option(arguments, "--resume"))
    throw UsageError("--resume does not go with submit: the run to go on with is not on the target");
}

// Only a training that saves has a folder to bring back.
bool is_tracked(const RunConfig& config) {
  return config.tracked && config.arguments[0] == "train" && !has_option(config.arguments, "--no-save");
}

Arguments with_out(Arguments arguments, const std::string& folder) {
  arguments.push_back("--out=" + folder);
  return arguments;
}

RunFolder make_folder(const Environment& environment, const RunConfig& config) {
  const TrainingName name = training_name(config.arguments);
  return RunFolder::create({name.model, name.seed, std::time(nullptr), std::nullopt}, environment.runs);
}

std::string name_without_folder() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return fmt::format("{:%Y%m%d-%H%M%S}-untracked-{}", local, ::getpid());
}

void require_image(const Connection& connection, const RunConfig& config) {
  if (!image_fingerprint(connection).empty()) return;
  const Target& target = connection.target();
  if (!config.prepare)
    throw TargetError(
        target, {.cause = target_failure(target, "docker-no-image").cause,
                 .fix = fmt::format("trainer prepare -c {}, or PrepareEnvironment: true", target.name)});
  prepare_target(connection, {"", [](const std::string& text) { fmt::print(stderr, "{}\n", text); }});
}

int submit_container(const Environment& environment, const Submission& submission) {
  const auto& [target, config, built_in] = submission.named;
  const bool tracked = is_tracked(config);
  if (submission.detach && !tracked)
    throw UsageError("--detach needs a run that is brought back later: train, with TrackedRun: true");
  const Connection connection(target, environment.runtime);
  const std::vector<SentFiles> files = files_of_training(config.arguments, environment.runs.working_folder);
  std::optional<RunFolder> folder;
  std::string id = name_without_folder();
  RunRecord record;
  if (tracked) {
    folder.emplace(make_folder(environment, config));
    id = folder->path().filename().string();
    record = submitted_record(environment, submission.named, id);
    for (const SentFiles& each : files) record.target["sent"][each.option.substr(2)] = each.given.string();
    write_run_record(folder->file(kRunRecordName), record);
  }
  ContainerRun container{id, target.image, target.gpus, config.variables,
                         arguments_inside(config.arguments, files)};
  if (tracked) container.arguments = with_out(container.arguments, fmt::format("{}/{}", kContainerRuns, id));
  TargetRun run(connection, id, std::move(folder), record);
  try {
    require_image(connection, config);
    container.mounts = bring_files(connection, files);
  } catch (const std::exception& error) {
    run.record_failure(error.what());
    throw;
  }
  run.start(container);
  fmt::print(stderr, "{:<14}{} on {}\n", "submitted", id, target.name);
  if (!submission.detach) return run.follow({true, true, submission.reconnect_seconds});
  fmt::print("{}\n", id);
  fmt::print(stderr, "{:<14}trainer runs attach {}\n", "go on with", id);
  return 0;
}

void close_local_record(const fs::path& folder, RunRecord begun, const ProcessEnd& end) {
  std::error_code ignored;
  const bool came = fs::exists(folder / kRunRecordName, ignored);
  if (!came && end.code == 2) {
    fs::remove_all(folder, ignored);
    return;
  }
  RunRecord record = std::move(begun);
  if (came) {
    nlohmann::ordered_json target = std::move(record.target);
    record = read_run_record(folder / kRunRecordName);
    record.target = std::move(target);
  }
  record.target["exit_code"] = end.code;
  if (record.status != RunStatus::kRunning) {
    write_run_record(folder / kRunRecordName, record);
    return;
  }
  close_as_failed(folder, record,
                  end.signal != 0 ? fmt::format("the program was killed by signal {}", end.signal)
                                  : fmt::format("the program ended with status {}", end.code));
}

int submit_process(const Environment& environment, const Submission& submission) {
  const RunConfig& config = submission.named.config;
  if (submission.detach)
    throw UsageError("--detach needs a container to go on in: choose a docker target, or leave it out");
  SignalGuard signals;
  ProcessCall call;
  call.words = {environment.executable.string()};
  call.keeps_input = true;
  for (const EnvironmentVariable& variable : config.variables)
    call.variables.push_back(variable.name + "=" + variable.value);
  Arguments arguments = config.arguments;
  const bool tracked = is_tracked(config);
  if (!tracked && arguments[0] == "train" && !has_option(arguments, "--no-save"))
    arguments.emplace_back("--no-save");
  fs::path folder;
  // The training takes the empty folder over, and its lock.
  if (tracked) folder = make_folder(environment, config).path();
  if (tracked) arguments = with_out(arguments, folder.string());
  call.words.insert(call.words.end(), arguments.begin(), arguments.end());
  const RunRecord begun = submitted_record(environment, submission.named, folder.filename().string());
  Process process(call);
  for (int sent = 0; process.hand_on();) {
    if (sent == 0) process.send(sent = signals.stop_signal());
  }
  const ProcessEnd end = process.end();
  if (tracked) close_local_record(folder, begun, end);
  return end.code;
}

}  // namespace

int submit(const Environment& environment, const Submission& submission) {
  check_arguments(submission.named.config.arguments);
  return submission.named.target.uses_docker() ? submit_container(environment, submission)
                                               : submit_process(environment, submission);
}

Target target_of(const Environment& environment, const RunRecord& record) {
  const std::string name = target_word(record, "name");
  if (name.empty()) throw UsageError("this run was not submitted to a target: there is nothing to attach to");
  if (target_word(record, "type") == "local")
    throw UsageError("this run is a process of this machine: it ends with the terminal that submitted it");
  return TargetFolder(environment.runs.working_folder).find(name).target;
}

int follow_submitted(const Environment& environment, const fs::path& folder, const FollowOptions& options) {
  const std::string id = folder.filename().string();
  if (read_run_record(folder / kRunRecordName).status == RunStatus::kRunning) {
    // Whoever held the folder until now may have closed the run.
    RunFolder held = RunFolder::reopen(folder);
    const RunRecord record = read_run_record(folder / kRunRecordName);
    if (record.status == RunStatus::kRunning) {
      const Connection connection(target_of(environment, record), environment.runtime);
      return TargetRun(connection, container_of(folder, record), std::move(held), record).follow(options);
    }
  }
  const RunRecord record = read_run_record(folder / kRunRecordName);
  fmt::print(stderr, "{} has ended: {}\n", id, record.reason);
  const auto code = record.target.find("exit_code");
  if (code != record.target.end() && code->is_number_integer()) return code->get<int>();
  return record.status == RunStatus::kFailed ? 1 : 0;
}

}  // namespace trainer
