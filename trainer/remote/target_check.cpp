// Checks in the order in which a person mends a machine: the connection, Docker, the image, the GPUs.
#include "trainer/remote/target_check.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <fmt/format.h>
#include <sstream>

#include "trainer/remote/container.hpp"
#include "trainer/remote/failure_text.hpp"

namespace trainer {

namespace {

using nlohmann::ordered_json;

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

std::int64_t number_in(const std::string& text) {
  std::int64_t number = -1;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

class TargetChecks {
 public:
  explicit TargetChecks(const Connection& connection)
      : connection_(connection), target_(connection.target()) {}

  std::vector<Check> run() {
    if (target_.is_remote()) check_connection();
    if (connected_ && target_.is_remote()) check_clock();
    check_engine();
    check_disk();
    check_image();
    if (target_.gpus != "none") {
      check_driver();
      check_toolkit();
      check_training_device();
    }
    return std::move(checks_);
  }

 private:
  void good(const std::string& name, const std::string& found) {
    checks_.push_back({CheckState::ok, name, found});
  }
  void note(const std::string& name, const std::string& found, const std::string& fix) {
    checks_.push_back({CheckState::note, name, found, "", fix});
  }
  void unknown(const std::string& name, const std::string& why) {
    checks_.push_back({CheckState::unknown, name, why});
  }
  // The cause is the finding, unless something else was found.
  void problem(const std::string& name, const Failure& failure, const std::string& found = "") {
    checks_.push_back({CheckState::problem, name, found.empty() ? failure.cause : found,
                       found.empty() ? "" : failure.cause, failure.fix, failure.kind});
  }
  void problem(const std::string& name, const ProcessOutput& output) {
    problem(name, explain_failure(target_, output));
  }

  void check_connection() {
    const ProcessOutput output = connection_.capture({"true"});
    connected_ = output.code == 0;
    if (connected_)
      good("SSH", fmt::format("{}@{}, host key known, key accepted", target_.username, target_.address));
    else
      problem("SSH", output);
  }

  // A clock that is off spoils the times of the record, and the certificates of a registry.
  void check_clock() {
    constexpr std::int64_t kMostSeconds = 60;
    const ProcessOutput output = connection_.capture({"date", "+%s"});
    const std::int64_t off = number_in(output.out) - static_cast<std::int64_t>(std::time(nullptr));
    if (output.code != 0) return unknown("clock", "'date' failed");
    if (std::abs(off) <= kMostSeconds)
      return good("clock", fmt::format("within {} s of this machine's", kMostSeconds));
    note("clock", fmt::format("{} s {} this machine's", std::abs(off), off > 0 ? "ahead of" : "behind"),
         "there: 'sudo timedatectl set-ntp true'");
  }

  void check_engine() {
    if (!connected_) return unknown("Docker", "no connection");
    const ProcessOutput output =
        connection_.capture({"docker", "info", "--format",
                             "{{.ServerVersion}}|{{.OSType}}/{{.Architecture}}|{{.DockerRootDir}}"});
    // Without an engine, docker info still succeeds in some versions, with nothing between the bars.
    const std::string line = first_line(output.out);
    const std::size_t first = line.find('|');
    const std::size_t second = line.find('|', first + 1);
    has_engine_ = output.code == 0 && first != 0 && second != std::string::npos;
    if (!has_engine_) {
      problem("Docker", output);
      return;
    }
    good("Docker",
         fmt::format("{}, {}, open to {}", line.substr(0, first), line.substr(first + 1, second - first - 1),
                     target_.is_remote() ? target_.username : "you"));
    engine_folder_ = line.substr(second + 1);
  }

  void check_disk() {
    constexpr std::int64_t kLeastKib = std::int64_t{10} << 20;
    if (!has_engine_) return unknown("disk", "no Docker engine");
    const ProcessOutput output = connection_.capture({"df", "-Pk", "--", engine_folder_});
    // The second line: file system, size, used, available.
    std::istringstream lines(output.out.substr(std::min(output.out.find('\n'), output.out.size())));
    std::string file_system;
    std::int64_t size = 0;
    std::int64_t used = 0;
    std::int64_t free = -1;
    lines >> file_system >> size >> used >> free;
    if (output.code != 0 || !lines) return unknown("disk", engine_folder_ + " cannot be looked at");
    const std::string found =
        fmt::format("{:.1f} GiB free in {}", static_cast<double>(free) / (1 << 20), engine_folder_);
    if (free >= kLeastKib) return good("disk", found);
    note("disk", found,
         "an image with CUDA takes about 10 GiB: 'docker image prune' there frees what nobody uses");
  }

  void check_image() {
    if (!has_engine_) return unknown("image", "no Docker engine");
    const ProcessOutput output = connection_.capture(docker::image_fingerprint(target_.image));
    has_image_ = output.code == 0;
    if (has_image_) return good("image", target_.image);
    const Failure failure = explain_failure(target_, output);
    // submit fetches it by itself, unless told not to.
    note("image", failure.cause, failure.fix);
  }

  void check_driver() {
    if (!connected_) return unknown("NVIDIA driver", "no connection");
    ProcessOutput output = connection_.capture(
        {"nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"});
    if (output.code == 0 && !output.out.empty()) {
      std::string gpus = output.out.substr(0, output.out.size() - 1);
      for (std::size_t end = gpus.find('\n'); end != std::string::npos; end = gpus.find('\n'))
        gpus.replace(end, 1, "; ");
      return good("NVIDIA driver", gpus + " (GPU, driver, compute capability)");
    }
    constexpr int kNoProgram = 127;
    Failure failure = target_failure(target_, "driver-not-loaded");
    if (output.code == kNoProgram) return problem("NVIDIA driver", failure, "no nvidia-smi: no driver");
    if (const Failure said = explain_failure(target_, output); !said.key.empty()) failure = said;
    problem("NVIDIA driver", failure, "nvidia-smi: " + first_line(output.out + output.err));
  }

  void check_toolkit() {
    if (!has_engine_) return unknown("Container Toolkit", "no Docker engine");
    const ProcessOutput output = connection_.capture({"nvidia-ctk", "--version"});
    if (output.code == 0) return good("Container Toolkit", first_line(output.out));
    problem("Container Toolkit", target_failure(target_, "container-toolkit"), "there is no nvidia-ctk");
  }

  // The image itself says whether it can train on the GPUs that its container is given: its own report knows
  // the architectures that it was built for.
  void check_training_device() {
    if (!has_image_) return unknown("GPU in the image", "no image");
    const ProcessOutput output =
        connection_.capture({"docker", "run", "--rm", "--pull", "never", "--network", "none", "--gpus",
                             gpus_argument(target_.gpus), "--", target_.image, "devices", "--json"});
    if (output.code != 0) {
      problem("GPU in the image", output);
      return;
    }
    const auto json = ordered_json::parse(output.out, nullptr, false);
    const auto gpu = json.is_object() ? json.value("gpu", ordered_json()) : ordered_json();
    if (!gpu.is_object() || !gpu.contains("used"))
      return unknown("GPU in the image", "its report is not understood");
    const bool used = gpu.value("used", false);
    if (used) return good("GPU in the image", gpu.value("name", "used"));
    problem(
        "GPU in the image",
        {.kind = FailureClass::no_code,
         .cause = "none used: " + gpu.value("reason", "no reason given"),
         .fix = "an image built for this GPU's compute capability and driver; or gpus: none for the CPU"});
  }

  const Connection& connection_;
  const Target& target_;
  std::vector<Check> checks_;
  std::string engine_folder_;
  bool connected_ = true;
  bool has_engine_ = false;
  bool has_image_ = false;
};

}  // namespace

std::vector<Check> check_target(const Connection& connection) {
  if (!connection.target().uses_docker())
    return {{CheckState::ok, "process", "this program itself; trainer devices says what it trains on"}};
  return TargetChecks(connection).run();
}

ordered_json target_check_json(const std::vector<Check>& checks) {
  auto json = ordered_json::array();
  for (const Check& check : checks)
    json.push_back({{"what", check.name},
                    {"state", word(check.state)},
                    {"found", check.finding},
                    {"cause", check.cause},
                    {"fix", check.fix}});
  return json;
}

}  // namespace trainer
