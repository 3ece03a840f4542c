#include "trainer/doctor/child.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace trainer::doctor {

namespace fs = std::filesystem;

namespace {

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// posix_spawn_file_actions_t with its end.
struct Actions {
  posix_spawn_file_actions_t actions{};
  Actions() { posix_spawn_file_actions_init(&actions); }
  ~Actions() { posix_spawn_file_actions_destroy(&actions); }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
};

}  // namespace

Child::Child(std::vector<std::string> arguments, fs::path out, fs::path error)
    : out_(std::move(out)), error_(std::move(error)) {
  constexpr int kWrite = O_WRONLY | O_CREAT | O_TRUNC;
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  Actions actions;
  posix_spawn_file_actions_addopen(&actions.actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions.actions, 1, out_.c_str(), kWrite, 0600);
  posix_spawn_file_actions_addopen(&actions.actions, 2, error_.c_str(), kWrite, 0600);
  const int code = posix_spawn(&pid_, argv[0], &actions.actions, nullptr, argv.data(), environ);
  if (code != 0) throw std::system_error(code, std::generic_category(), "cannot start " + arguments.front());
}

Child::~Child() {
  end();
}

void Child::note(int status) {
  status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  pid_ = 0;
}

bool Child::ended() {
  int status = 0;
  if (pid_ > 0 && waitpid(pid_, &status, WNOHANG) == pid_) note(status);
  return pid_ == 0;
}

void Child::end() {
  if (pid_ == 0) return;
  int status = 0;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
  note(status);
}

std::string Child::output() const {
  return text_of(out_);
}

std::string Child::last_error_line() const {
  std::istringstream lines(text_of(error_));
  std::string last;
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) last = line;
  return last;
}

ScratchFolder::ScratchFolder() {
  std::string name = (fs::temp_directory_path() / "trainer-doctor-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr)
    throw std::system_error(errno, std::generic_category(), "cannot make the folder " + name);
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace trainer::doctor
