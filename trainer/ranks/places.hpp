// Where the ranks run. Of those that run on the same host, in the same container, a rank sees at once that one has ended.
#pragma once

#include <array>
#include <cerrno>
#include <csignal>
#include <fmt/format.h>
#include <fstream>
#include <set>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace trainer {

struct Place {
  std::array<char, 64> host{};
  std::array<char, 64> processes{};  // the same for ranks that see one another's process numbers
  int pid = 0;
};

inline Place own_place() {
  Place place;
  gethostname(place.host.data(), place.host.size() - 1);
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  struct stat space {};
  ::stat("/proc/self/ns/pid", &space);
  fmt::format_to_n(place.processes.data(), place.processes.size() - 1, "{} {}", boot, space.st_ino);
  place.pid = getpid();
  return place;
}

class Places {
 public:
  Places() = default;  // not known yet
  Places(std::vector<Place> places, int own) : places_(std::move(places)), own_(own) {
    for (Place& place : places_) place.host.back() = '\0';  // as another rank may not have sent it
  }

  // The ranks that have ended, of those that this one sees.
  std::set<int> ended() const {
    std::set<int> all;
    for (int r = 0; r < static_cast<int>(places_.size()); ++r)
      if (is_seen(r) && kill(of(r).pid, 0) != 0 && errno == ESRCH) all.insert(r);
    return all;
  }

  // Ends what SIGSTOP began.
  void wake(int rank) const {
    if (is_seen(rank)) kill(of(rank).pid, SIGCONT);
  }

  std::string name(int rank) const {
    if (places_.empty()) return fmt::format("rank {}", rank);
    return fmt::format("rank {} (host {}, pid {})", rank, of(rank).host.data(), of(rank).pid);
  }

 private:
  const Place& of(int rank) const { return places_[static_cast<std::size_t>(rank)]; }
  bool is_seen(int rank) const {
    return !places_.empty() && rank != own_ && of(rank).processes == of(own_).processes;
  }

  std::vector<Place> places_;  // one for each rank
  int own_ = 0;
};

}  // namespace trainer
