// A training is submitted to a container, followed over a connection, or to a process of this machine, or written as a job of Azure ML.
#include "trainer/remote/submission.hpp"

#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>
#include <utility>

#include "trainer/console/json_lookup.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

void check_arguments(const Words& arguments) {
  if (arguments.empty() || arguments[0].empty() || arguments[0].starts_with('-'))
    throw UsageError("what to run is missing: trainer submit -c NAME -- train --epochs 10");
  if (arguments[0] == "submit" || arguments[0] == "prepare" || arguments[0] == "target")
    throw UsageError(fmt::format("{} runs here alone and cannot be submitted", arguments[0]));
  for (const std::string& argument : arguments)
    if (argument.find('\0') != std::string::npos) throw UsageError("an argument holds a zero byte");
  if (arguments[0] != "train") return;
  if (has_option(arguments, "--out"))
    throw UsageError(
        "--out cannot be combined with submit, which names the run's folder; TRAINER_RUNS moves it");
  if (has_option(arguments, "--resume"))
    throw UsageError("--resume RUN goes before the --: trainer submit -c NAME --resume RUN");
}

// Only a training that saves has a folder to bring back.
bool is_tracked(const Target& target) {
  return target.tracked && target.arguments[0] == "train" && !has_option(target.arguments, "--no-save");
}

void require_image(const Connection& connection) {
  if (!image_fingerprint(connection).empty()) return;
  const Target& target = connection.target();
  if (!target.prepare)
    throw TargetError(
        target, {.cause = target_failure(target, "docker-no-image").cause,
                 .fix = fmt::format("trainer prepare -c {}, or PrepareEnvironment: true", target.name)});
  prepare_target(connection);
}

// Checks a run to continue. Its data set is sent again if it is of this machine.
void require_resumable(const fs::path& folder, Words& arguments) {
  const RunRecord record = read_run_record(folder / kRunRecordName);
  const std::string name = folder.filename().string();
  if (record.status == RunStatus::kRunning && record.target.is_object())
    throw UsageError(fmt::format("{} has not ended: trainer runs attach {}", name, name));
  if (std::error_code ignored; !fs::exists(folder / kCheckpointName, ignored))
    throw UsageError(fmt::format("{} has no {} to continue from", folder.string(), kCheckpointName));
  const std::string data =
      record.target.is_object() ? find_text(record.target, {"sent", "data"}).value_or("") : record.data.path;
  if (!data.empty() && !has_option(arguments, "--data")) arguments.insert(arguments.end(), {"--data", data});
}

struct Prepared {
  ContainerRun container;
  std::optional<RunFolder> folder;
  RunRecord record;
  std::optional<RunRecord> before;
};

// The run's folder, whose record says that it runs.
Prepared prepare_folder(const Environment& environment, const Submission& submission,
                        const std::vector<SentFiles>& files) {
  const Target& target = submission.target;
  const bool resumes = !submission.resumed.empty();
  const std::tm now = fmt::localtime(std::time(nullptr));
  const std::string name = fmt::format("{:%Y%m%d-%H%M%S}-untracked-{}", now, ::getpid());
  Prepared run{{name, arguments_inside(target.arguments, files)}, {}, {}, {}};
  if (!is_tracked(target)) return run;
  run.folder.emplace(resumes ? RunFolder::reopen(submission.resumed)
                             : RunFolder::create(new_run(target.arguments), environment.runs));
  const std::string id = run.folder->path().filename().string();
  run.container.id = id;
  run.container.arguments.push_back(
      fmt::format("{}={}/{}", resumes ? "--resume" : "--out", kContainerRuns, id));
  run.record = submitted_record(environment, target, id);
  for (const SentFiles& each : files) run.record.target["sent"][each.option.substr(2)] = each.given.string();
  if (resumes) {
    run.container.resumed = run.folder->path();
    run.before = read_run_record(run.folder->file(kRunRecordName));
    const auto where = std::exchange(run.record, *run.before).target;
    run.record.target = where;
    run.record.status = RunStatus::kRunning;
    run.record.reason = run.record.ended = "";
  }
  write_run_record(run.folder->file(kRunRecordName), run.record);
  return run;
}

int submit_container(const Environment& environment, Submission submission) {
  const bool resumes = !submission.resumed.empty();
  Target& target = submission.target;
  if ((submission.detach || resumes) && !is_tracked(target))
    throw UsageError(fmt::format("{} needs a run that is brought back later: train, with TrackedRun: true",
                                 resumes ? "--resume" : "--detach"));
  const Connection connection(target, environment.runtime);
  if (resumes) require_resumable(submission.resumed, target.arguments);
  const std::vector<SentFiles> files = files_of_training(target.arguments, environment.runs.working_folder);
  Prepared prepared = prepare_folder(environment, submission, files);
  ContainerRun& container = prepared.container;
  TargetRun run(connection, container.id, std::move(prepared.folder), prepared.record, prepared.before);
  try {
    require_image(connection);
    container.mounts = bring_files(connection, files);
  } catch (const std::exception& error) {
    run.record_failure(error.what());
    throw;
  }
  run.start(container);
  notice(fmt::format("{:<14}{} on {}", "submitted", container.id, target.name));
  if (!submission.detach) return run.follow({true, true, submission.reconnect_seconds});
  fmt::print("{}\n", container.id);
  notice(fmt::format("{:<14}trainer runs attach {}", "go on with", container.id));
  return 0;
}

int submit_process(const Environment& environment, const Submission& submission) {
  const Target& target = submission.target;
  if (!submission.resumed.empty())
    throw UsageError(fmt::format("{} is no container: trainer train --resume {}", target.name,
                                 submission.resumed.string()));
  if (submission.detach)
    throw UsageError("--detach needs a container to go on in: choose a docker target, or leave it out");
  SignalGuard signals;
  ProcessCall call{.words = {environment.executable.string()}, .keeps_input = true};
  for (const auto& [name, value] : target.variables)
    call.variables.push_back(fmt::format("{}={}", name, value));
  call.words.insert(call.words.end(), target.arguments.begin(), target.arguments.end());
  fs::path folder;
  if (is_tracked(target)) {
    // The training takes the empty folder over, and its lock.
    folder = RunFolder::create(new_run(target.arguments), environment.runs).path();
    call.words.push_back("--out=" + folder.string());
  } else if (target.arguments[0] == "train" && !has_option(target.arguments, "--no-save")) {
    call.words.emplace_back("--no-save");
  }
  const RunRecord started = submitted_record(environment, target, folder.filename().string());
  Process process(call);
  for (int sent = 0; process.pump();)
    if (sent == 0) process.send(sent = signals.stop_signal());
  const ProcessEnd end = process.end();
  if (folder.empty()) return end.code;
  std::error_code ignored;
  const fs::path own = folder / kRunRecordName;
  if (end.code == 2 && !fs::exists(own, ignored))
    fs::remove_all(folder, ignored);
  else
    close_record(
        folder, started, own,
        {end.code, end.signal == 0 ? "" : fmt::format("the program was killed by signal {}", end.signal)});
  return end.code;
}

}  // namespace

// Each field is a line, its value JSON, which is YAML. What Azure ML fills in comes last in the command and stays outside quotes.
std::string azureml_job(Target target, const fs::path& working_folder) {
  if (!target.uses_docker())
    throw UsageError(target.name + " has no image for Azure ML: attach one with --type localdocker");
  check_arguments(target.arguments);
  const std::string ranks = option_value(target.arguments, "--ranks").value_or("");
  const auto count = ordered_json::parse(ranks, nullptr, false);
  if (!ranks.empty() && !(count.is_number_unsigned() && count > 0))
    throw UsageError(fmt::format("--ranks {}: a number from 1 on", to_text(ranks)));
  if (target.gpus != "all")
    target.variables["CUDA_VISIBLE_DEVICES"] = target.gpus == "none" ? "-1" : target.gpus;
  ordered_json job{{"display_name", target.name},
                   {"command", ""},
                   {"environment", {{"image", target.image}}},
                   {"environment_variables", target.variables}};
  if (!ranks.empty()) job["distribution"] = {{"type", "mpi"}, {"process_count_per_instance", count}};
  target.arguments = without_option(target.arguments, "--ranks");
  std::string filled_in;
  for (const SentFiles& each : files_of_training(target.arguments, working_folder)) {
    const std::string name = each.option.substr(2);
    const fs::path& sent = name == "model" ? each.given : each.folder;
    job["inputs"][name] = {{"type", name == "model" ? "uri_file" : "uri_folder"}, {"path", sent.string()}};
    filled_in += fmt::format(" {} ${{{{inputs.{}}}}}", each.option, name);
    if (sent != each.given) filled_in += "/" + shell_word(each.given.filename().string());
    target.arguments = without_option(target.arguments, each.option);
  }
  if (is_tracked(target)) {
    filled_in += " --out ${{outputs.runs}}/" + target.name + " --resume-if-there";
    job["outputs"]["runs"] = {{"type", "uri_folder"}, {"mode", "rw_mount"}};
  }
  job["command"] = "/opt/mnist-trainer/bin/trainer " + shell_command(target.arguments) + filled_in;
  std::string text =
      "# Name your cluster in 'compute', and an image that it can pull.\n"
      "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\n"
      "type: command\ncompute: azureml:CLUSTER\nresources: {instance_count: 1, shm_size: 1g}\n";
  for (const auto& [key, value] : job.items()) text += key + ": " + to_text(value) + "\n";
  return text;
}

int submit(const Environment& environment, const Submission& submission) {
  check_arguments(submission.target.arguments);
  return submission.target.uses_docker() ? submit_container(environment, submission)
                                         : submit_process(environment, submission);
}

int follow_submitted(const Environment& environment, const fs::path& folder, const FollowOptions& options) {
  // A kill may have come between the last file and the removal of the container.
  const bool was_cut = fs::exists(folder / kFetchedName);
  if (was_cut || read_run_record(folder / kRunRecordName).status == RunStatus::kRunning) {
    // Whoever held the folder until now may have closed the run.
    RunFolder held = RunFolder::reopen(folder);
    const RunRecord record = read_run_record(folder / kRunRecordName);
    if (was_cut || record.status == RunStatus::kRunning) {
      const Connection connection(target_of(environment, record), environment.runtime);
      TargetRun run(connection, container_of(folder, record), std::move(held), record);
      if (record.status == RunStatus::kRunning) return run.follow(options);
      run.remove_container();
    }
  }
  const RunRecord record = read_run_record(folder / kRunRecordName);
  notice(fmt::format("{} has ended: {}", folder.filename().string(), record.reason));
  const auto code = record.target.find("exit_code");
  if (code != record.target.end() && code->is_number_integer()) return code->get<int>();
  return record.status == RunStatus::kFailed ? 1 : 0;
}

void cancel_submitted(const Environment& environment, const fs::path& folder) {
  const RunRecord record = read_run_record(folder / kRunRecordName);
  const std::string id = folder.filename().string();
  if (record.status != RunStatus::kRunning)
    throw UsageError(fmt::format("{} has ended already; there is nothing to cancel", id));
  const Connection connection(target_of(environment, record), environment.runtime);
  const ProcessOutput output =
      connection.capture(docker_words({"stop", "-t", "60"}, container_of(folder, record)));
  if (output.code != 0) {
    Failure failure = connection.explain(output);
    if (failure.kind == FailureClass::unreachable || failure.kind == FailureClass::login)
      failure.fix += "; " + ways_on(id);
    if (failure.key != "docker-no-container") throw TargetError(connection.target(), failure);
  }
  notice(fmt::format("{:<14}{}", "cancelled", id));
  try {
    (void)follow_submitted(environment, folder, {.output = false});
  } catch (const FileError& error) {
    notice(fmt::format("its results are not here yet: {}", error.what()));
  }
}

void close_submitted(const fs::path& folder) {
  const RunFolder held = RunFolder::reopen(folder);
  const RunRecord record = read_run_record(folder / kRunRecordName);
  const std::string id = folder.filename().string();
  if (!find_text(record.target, {"name"}))
    throw UsageError(fmt::format("{} was not submitted to a target: only such records are closed", id));
  if (record.status != RunStatus::kRunning)
    throw UsageError(fmt::format("{} has ended already; there is nothing to close", id));
  close_as_failed(folder, record,
                  "closed here without its results, which were not requested from its machine");
  notice(fmt::format("{:<14}{}; if its machine comes back, the container {} is still there", "closed",
                     folder.string(), id));
}

}  // namespace trainer
