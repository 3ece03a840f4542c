// A program started beside this one, its output in files, so that whatever happens to it is an outcome and
// not this program's end.
#pragma once

#include <filesystem>
#include <string>
#include <sys/types.h>
#include <vector>

namespace trainer::doctor {

class Child {
 public:
  // argv, the program's whole path first. Its standard input is empty. Throws std::system_error.
  Child(std::vector<std::string> arguments, std::filesystem::path out, std::filesystem::path error);
  ~Child();  // ends it
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  bool ended();  // looks, without waiting
  void end();    // at once, and waits for it

  int status() const { return status_; }  // once ended: the exit status, 128 + signal for a death by one
  std::string output() const;
  std::string last_error_line() const;  // of standard error; empty: there is none

 private:
  void note(int status);

  pid_t pid_ = 0;
  int status_ = 0;
  std::filesystem::path out_;
  std::filesystem::path error_;
};

// A folder of its own among the temporary files, gone with the object. Throws std::system_error.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace trainer::doctor
