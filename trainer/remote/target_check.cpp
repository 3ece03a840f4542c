// The checks come in the order in which a person repairs a machine: connection, Docker, image, GPUs. Each one has a need that
// an earlier check has met, a command, and a function that judges the command's output.
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <fmt/format.h>
#include <optional>
#include <sstream>

#include "trainer/remote/container.hpp"

namespace trainer {

namespace {

struct Answers {
  const Connection& connection;
  const Target& target;
  bool connected = false;
  std::optional<Engine> engine = {};
  bool image = false;
};

// These leave the name out, which check_target knows.
Check good(const std::string& found) {
  return {CheckState::ok, "", found};
}
Check unknown(const std::string& why) {
  return {CheckState::unknown, "", why};
}
// The cause is the finding, unless something else was found.
Check problem(const Failure& failure, const std::string& found = "") {
  return {CheckState::problem,
          "",
          found.empty() ? failure.cause : found,
          found.empty() ? "" : failure.cause,
          failure.fix,
          failure.kind};
}
Check note(const std::string& found, const std::string& fix) {
  return {CheckState::note, "", found, "", fix};
}

Check connection_check(Answers& answers, const ProcessOutput& output) {
  answers.connected = output.code == 0;
  if (!answers.connected) return problem(answers.connection.explain(output));
  return good(place_of(answers.target) + ", host key known, key accepted");
}

// A wrong clock makes the record's times wrong and a registry's certificates invalid.
Check clock_check(Answers& /*answers*/, const ProcessOutput& output) {
  constexpr std::int64_t kMostSeconds = 60;
  if (output.code != 0) return unknown("'date' failed");
  std::int64_t there = -1;
  std::from_chars(output.out.data(), output.out.data() + output.out.size(), there);
  const std::int64_t off = there - static_cast<std::int64_t>(std::time(nullptr));
  if (std::abs(off) <= kMostSeconds) return good(fmt::format("within {} s of this machine's", kMostSeconds));
  return note(fmt::format("{} s {} this machine's", std::abs(off), off > 0 ? "ahead of" : "behind"),
              "there: 'sudo timedatectl set-ntp true'");
}

Check engine_check(Answers& answers) {
  const Target& target = answers.target;
  ProcessOutput output;
  answers.engine = find_engine(answers.connection, output);
  if (!answers.engine) return problem(answers.connection.explain(output));
  const Engine& engine = *answers.engine;
  const std::string found = fmt::format("{}, {}, open to {}", engine.version, engine.platform,
                                        target.is_remote() ? place_of(target) : "you");
  if (engine.is_rootless && target.is_remote())
    return note(found + ", rootless: its containers may end with the login",
                "there: 'loginctl enable-linger' lets them continue");
  return good(found);
}

Check disk_check(Answers& answers, const ProcessOutput& output) {
  constexpr std::int64_t kLeastKib = std::int64_t{10} << 20;
  // The second line: file system, size, used, available.
  std::istringstream lines(output.out.substr(std::min(output.out.find('\n'), output.out.size())));
  std::string file_system;
  std::int64_t size = 0, used = 0, free = -1;
  lines >> file_system >> size >> used >> free;
  if (output.code != 0 || !lines) return unknown(answers.engine->folder + " cannot be looked at");
  const std::string found =
      fmt::format("{:.1f} GiB free in {}", static_cast<double>(free) / (1 << 20), answers.engine->folder);
  if (free >= kLeastKib) return good(found);
  return note(found,
              "an image with CUDA takes about 10 GiB: 'docker image prune' there frees what nobody uses");
}

Check image_check(Answers& answers, const ProcessOutput& output) {
  answers.image = output.code == 0;
  if (const auto wrong = wrong_platform(answers.target, first_line(output.out), *answers.engine);
      answers.image && wrong)
    return problem(*wrong);
  if (answers.image) return good(answers.target.image);
  // submit fetches it by itself, unless told not to.
  const Failure failure = answers.connection.explain(output);
  return note(failure.cause, failure.fix);
}

// Drivers before 510 have no compute_cap to ask for. Status 14 warns of a GPU that works.
Check driver_check(Answers& answers, const ProcessOutput& first) {
  ProcessOutput output = first;
  if (output.code != 0 && output.out.find("compute_cap") != std::string::npos)
    output = answers.connection.capture(
        {"nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"});
  constexpr int kCorruptInforom = 14;
  std::string gpus;
  std::string warning;
  std::istringstream lines(output.out);
  for (std::string line; std::getline(lines, line);) {
    std::string& text = line.starts_with("WARNING") ? warning : gpus;
    text += (text.empty() ? "" : "; ") + line;
  }
  const bool works = (output.code == 0 || output.code == kCorruptInforom) && !gpus.empty();
  if (works && output.code == 0 && warning.empty()) return good(gpus + " (GPU, driver, compute capability)");
  const Failure said = answers.connection.explain(output);
  if (works) return note(gpus + "; " + (warning.empty() ? said.cause : warning), said.fix);
  const Failure failure = target_failure(answers.target, "driver-not-loaded");
  if (output.code == kProgramNotFound) return problem(failure, "no nvidia-smi: no driver");
  return problem(said.key.empty() ? failure : said, "nvidia-smi: " + first_line(output.out + output.err));
}

Check toolkit_check(Answers& answers, const ProcessOutput& output) {
  if (output.code == 0) return good(first_line(output.out));
  return problem(target_failure(answers.target, "container-toolkit"), "there is no nvidia-ctk");
}

// The program in the image reports whether it can train on the GPUs of its container: it knows the architectures that it
// was built for.
Check training_device_check(Answers& answers, const ProcessOutput& output) {
  if (output.code != 0) return problem(answers.connection.explain(output));
  try {
    const auto gpu = ordered_json::parse(output.out).at("gpu");
    if (gpu.at("used").get<bool>()) return good(gpu.value("name", "used"));
    return problem(
        {.kind = FailureClass::no_code,
         .cause = "none used: " + gpu.value("reason", "no reason given"),
         .fix = "an image built for this GPU's compute capability and driver; or gpus: none for the CPU"});
  } catch (const nlohmann::json::exception&) {
    return unknown("its report is not understood");
  }
}

}  // namespace

std::vector<Check> check_target(const Connection& connection) {
  const Target& target = connection.target();
  if (!target.uses_docker())
    return {{CheckState::ok, "process", "this program itself; trainer devices says what it trains on"}};
  std::vector<Check> checks;
  Answers answers{connection, target, !target.is_remote()};
  // `missing` says which need is not met; it is empty if all are.
  const auto ask = [&](const char* name, const char* missing, const Words& words,
                       Check (*check)(Answers&, const ProcessOutput&)) {
    checks.push_back(*missing == '\0' ? check(answers, connection.capture(words)) : unknown(missing));
    checks.back().name = name;
  };
  if (target.is_remote()) ask("SSH", "", {"true"}, connection_check);
  const char* connected = answers.connected ? "" : "no connection";
  if (target.is_remote() && answers.connected) ask("clock", "", {"date", "+%s"}, clock_check);
  checks.push_back(answers.connected ? engine_check(answers) : unknown(connected));
  checks.back().name = "Docker";
  const char* engine = answers.engine ? "" : "no Docker engine";
  ask("disk", engine, {"df", "-Pk", "--", answers.engine.value_or(Engine{}).folder}, disk_check);
  ask("image", engine, fingerprint_words(target.image), image_check);
  const char* image = answers.image ? "" : "no image";
  ask("MPI in the image", image,
      {"docker", "run", "--rm", "--pull", "never", "--network", "none", "--entrypoint", "mpirun", "--",
       target.image, "--version"},
      [](Answers&, const ProcessOutput& output) {
        return good(output.code == 0 ? first_line(output.out) : "none: build_image.sh --ranks adds it");
      });
  if (target.gpus == "none") return checks;
  ask("NVIDIA driver", connected,
      {"nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"}, driver_check);
  ask("Container Toolkit", engine, {"nvidia-ctk", "--version"}, toolkit_check);
  ask("GPU in the image", image,
      {"docker", "run", "--rm", "--pull", "never", "--network", "none", "--gpus", gpus_argument(target.gpus),
       "--", target.image, "devices", "--json"},
      training_device_check);
  return checks;
}

}  // namespace trainer
