// One row a message, the specific before the general; the text is searched for, case does not matter.
#include "trainer/remote/failure_text.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/remote/shell_words.hpp"

namespace trainer {

namespace {

// In cause and fix: {host} the address, {login} ssh's words for it, {image}, {name} the target, {user},
// {there} "there: " on another machine.
struct Row {
  std::string_view message;
  FailureKind kind;
  std::string_view cause;
  std::string_view fix;
};

constexpr std::string_view kKnowHost =
    "connect once by hand with '{login}', compare the fingerprint that it shows with the machine's, and say "
    "yes";
constexpr std::string_view kReach = "see that the machine runs, and its name, port and firewall: '{login}'";
constexpr std::string_view kJoinGroup =
    "{there}'sudo usermod -aG docker {user}', log in anew (nothing here needs sudo), then 'trainer target "
    "check {name}'";
constexpr std::string_view kToolkit =
    "install nvidia-container-toolkit there, then 'sudo nvidia-ctk runtime configure --runtime=docker && "
    "sudo "
    "systemctl restart docker' (not Docker's snap package); or gpus: none for the CPU";

constexpr std::array kRows{
    Row{"remote host identification has changed", FailureKind::host_key, "the host key of {host} has changed",
        "if the machine was made anew, remove the old key with 'ssh-keygen -R {host}' and connect once by "
        "hand; if "
        "not, someone may stand between"},
    Row{"host key verification failed", FailureKind::host_key, "the host key of {host} is not known",
        kKnowHost},
    Row{"not accessible: no such file", FailureKind::login,
        "the private key of the target is not on this machine", "correct identityFile in its .compute"},
    Row{"permission denied (", FailureKind::login, "{host} does not take the key for user {user}",
        "put the public key into ~/.ssh/authorized_keys there, or name the key with identityFile; see "
        "'{login}'"},
    Row{"too many authentication failures", FailureKind::login, "{host} was offered too many keys",
        "name the one key with identityFile"},
    Row{"could not resolve hostname", FailureKind::unreachable, "no address is known for the name {host}",
        kReach},
    Row{"connection refused", FailureKind::unreachable, "{host} refuses the connection", kReach},
    Row{"connection timed out", FailureKind::unreachable, "{host} does not answer", kReach},
    Row{"operation timed out", FailureKind::unreachable, "{host} does not answer", kReach},
    Row{"no route to host", FailureKind::unreachable, "there is no way to {host}", kReach},
    Row{"network is unreachable", FailureKind::unreachable, "there is no way to {host}", kReach},
    Row{"could not select device driver", FailureKind::gpu,
        "its Docker cannot hand GPUs to containers: the NVIDIA Container Toolkit is not set up", kToolkit},
    Row{"nvidia-container-cli", FailureKind::gpu, "its NVIDIA Container Toolkit finds no working driver",
        "{there}see whether 'nvidia-smi' works, then 'trainer target check {name}'; or gpus: none for the "
        "CPU"},
    Row{"no space left on device", FailureKind::disk_full, "its disk is full",
        "free space there: 'docker system df' shows what Docker holds, 'docker image prune' removes unused "
        "images"},
    Row{"permission denied while trying to connect", FailureKind::docker_access,
        "user {user} may not use Docker's socket", kJoinGroup},
    Row{"connect: permission denied", FailureKind::docker_access, "user {user} may not use Docker's socket",
        kJoinGroup},
    Row{"cannot connect to the docker daemon", FailureKind::docker_stopped, "its Docker engine does not run",
        "{there}'sudo systemctl start docker', and 'systemctl status docker' for the reason"},
    Row{"error during connect", FailureKind::docker_stopped, "its Docker engine does not answer",
        "{there}'systemctl status docker'"},
    Row{"is already in use by container", FailureKind::name_taken,
        "a container of the run's name is there already", "start the run again, which names it anew"},
    Row{"no such container", FailureKind::no_container, "the run's container is not there any more",
        "someone removed it; start the run again"},
    Row{"no such object", FailureKind::no_container, "the run's container is not there any more",
        "someone removed it; start the run again"},
    Row{"no such image", FailureKind::no_image, "it has no image {image}", "trainer prepare -c {name}"},
    Row{"unable to find image", FailureKind::no_image, "it has no image {image}",
        "trainer prepare -c {name}"},
};

std::string filled_in(std::string_view text, const Target& target) {
  const std::string host = target.is_remote() ? target.address : "this machine";
  const std::string user = target.is_remote() ? target.username : "you";
  std::string login = fmt::format("ssh -p {} {}@{}", target.port, target.username, target.address);
  if (!target.identity_file.empty()) login.insert(3, " -i " + shell_word(target.identity_file));
  if (!target.ssh_config.empty()) login.insert(3, " -F " + shell_word(target.ssh_config));
  return fmt::format(fmt::runtime(text), fmt::arg("host", host), fmt::arg("user", user),
                     fmt::arg("login", login), fmt::arg("image", target.image), fmt::arg("name", target.name),
                     fmt::arg("there", target.is_remote() ? "there: " : ""));
}

// The last line that says something, without what a terminal would obey.
std::string last_line(const std::string& text) {
  std::string line;
  std::string last;
  for (const char c : text + "\n") {
    if (c != '\n') line += is_control(c) ? ' ' : c;
    if (c != '\n') continue;
    if (line.find_first_not_of(' ') != std::string::npos) last = line.substr(line.find_first_not_of(' '));
    line.clear();
  }
  constexpr std::size_t kLongest = 300;
  while (!last.empty() && last.back() == ' ') last.pop_back();
  return last.substr(0, kLongest);
}

constexpr int kSshFailed = 255;

}  // namespace

Failure explain_failure(const Target& target, const ProcessOutput& output) {
  const std::string said = lower(output.err + "\n" + output.out);
  for (const Row& row : kRows) {
    if (said.find(row.message) != std::string::npos)
      return {row.kind, filled_in(row.cause, target), filled_in(row.fix, target)};
  }
  const std::string line = last_line(output.err);
  if (output.code == kProgramNotFound)
    return {FailureKind::no_docker, "it has no docker program: " + line,
            "install Docker Engine there (docs.docker.com/engine/install), and see that docker is in the "
            "PATH of a "
            "login without terminal"};
  if (target.is_remote() && output.code == kSshFailed)
    return {FailureKind::unreachable,
            fmt::format("the connection to {} failed{}{}", target.address, line.empty() ? "" : ": ", line),
            filled_in(kReach, target)};
  return {FailureKind::other,
          line.empty() ? fmt::format("a command failed with status {}", output.code) : line, ""};
}

}  // namespace trainer
