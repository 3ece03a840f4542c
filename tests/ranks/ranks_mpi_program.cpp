// A rank of a small job for ranks_mpi_test, under a real mpirun:
//   ranks_mpi_program exchange              every exchange, many rounds; prints "rank R of N: ok"
//   ranks_mpi_program steps SECONDS [slow]  steps until a rank is lost, or a signal asks for the end; prints "rank R pid P";
//                                           slow: takes a second to end, as a training that writes its record may
//   ranks_mpi_program absent RANK SECONDS   this rank does not join
//   ranks_mpi_program launch N ...          starts N ranks of itself
// Its statuses are those of the program; each rank appends its own to the file $RANKS_STATUSES.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "trainer/ranks/launch.hpp"
#include "trainer/system/signals.hpp"

namespace trainer {
namespace {

using Bytes = std::vector<unsigned char>;

void say(const std::string& text) {
  std::fputs((text + "\n").c_str(), stdout);
  std::fflush(stdout);
}

// Byte i of what rank `from` has for a round.
unsigned char byte_of(int round, int from, std::size_t i) {
  return static_cast<unsigned char>(static_cast<std::size_t>(round * 31 + from * 7) + i * 131 + (i >> 8));
}

void require(bool is_true, const std::string& what) {
  if (!is_true) throw std::runtime_error(what);
}

// Borders of parts of different sizes; that of rank `round` modulo size is empty.
std::vector<std::size_t> borders_of(int round, int size, std::size_t unit) {
  std::vector<std::size_t> borders{0};
  for (int r = 0; r < size; ++r)
    borders.push_back(borders.back() +
                      (r == round % size && size > 1 ? 0 : unit + static_cast<std::size_t>(r) * 3));
  return borders;
}

void check_gather(Communicator& ranks, int round, std::size_t unit) {
  const std::vector<std::size_t> borders = borders_of(round, ranks.size(), unit);
  Bytes data(borders.back() + 1, 255);
  const auto own = static_cast<std::size_t>(ranks.rank());
  for (std::size_t i = borders[own]; i < borders[own + 1]; ++i) data[i] = byte_of(round, ranks.rank(), i);
  ranks.all_gather(data.data(), borders);
  for (int r = 0; r < ranks.size(); ++r) {
    for (std::size_t i = borders[static_cast<std::size_t>(r)]; i < borders[static_cast<std::size_t>(r) + 1];
         ++i)
      require(data[i] == byte_of(round, r, i),
              fmt::format("all_gather, round {}: byte {} of rank {}", round, i, r));
  }
  require(data.back() == 255, "all_gather wrote beyond the last border");
}

void check_all_to_all(Communicator& ranks, int round, std::size_t unit) {
  const std::vector<std::size_t> borders = borders_of(round, ranks.size(), unit);
  Bytes data(borders.back());
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = byte_of(round, ranks.rank(), i);
  const auto own = static_cast<std::size_t>(ranks.rank());
  const std::size_t part = borders[own + 1] - borders[own];
  Bytes received(part * static_cast<std::size_t>(ranks.size()) + 1, 255);
  ranks.all_to_all(data.data(), borders, received.data());
  for (int r = 0; r < ranks.size(); ++r) {
    for (std::size_t i = 0; i < part; ++i)
      require(received[static_cast<std::size_t>(r) * part + i] == byte_of(round, r, borders[own] + i),
              fmt::format("all_to_all, round {}: byte {} of rank {}", round, i, r));
  }
  require(received.back() == 255, "all_to_all wrote beyond its part");
}

void exchange(Communicator& ranks) {
  for (int round = 0; round < 101; ++round) {
    ranks.begin(fmt::format("round {}", round), 60);
    const std::size_t unit = round % 100 == 0 ? (std::size_t{1} << 20) + 1 : static_cast<std::size_t>(round);
    check_gather(ranks, round, unit);
    check_all_to_all(ranks, round, unit);
  }
  say(fmt::format("rank {} of {}: ok", ranks.rank(), ranks.size()));
}

// As a training: all ranks come to know that one was asked to stop.
int steps(Communicator& ranks, const SignalGuard& guard, double seconds) {
  say(fmt::format("rank {} pid {}", ranks.rank(), getpid()));
  std::vector<std::size_t> borders;
  for (int r = 0; r <= ranks.size(); ++r) borders.push_back(static_cast<std::size_t>(r) * 200'000);
  Bytes data(borders.back());
  Bytes received(data.size());
  for (int step = 0;; ++step) {
    ranks.begin(fmt::format("step {}", step), seconds);
    ranks.all_to_all(data.data(), borders, received.data());
    data[borders[static_cast<std::size_t>(ranks.rank())]] = guard.stop_signal() != 0 ? 1 : 0;
    ranks.all_gather(data.data(), borders);
    for (int r = 0; r < ranks.size(); ++r)
      if (data[borders[static_cast<std::size_t>(r)]] != 0) return 128 + SIGTERM;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

int run(const std::vector<std::string>& words) {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  if (words.at(0) == "launch")
    return launch_ranks({std::stoi(words.at(1)), self, {words.begin() + 2, words.end()}});
  const SignalGuard guard;
  RanksCall call{.launch = find_launch(std::getenv), .executable = self};
  if (words[0] == "absent") {
    call.seconds = std::stod(words.at(2));
    if (call.launch.rank == std::stoi(words.at(1))) {
      say("this rank does not join");
      std::this_thread::sleep_for(std::chrono::seconds(60));
    }
  }
  const std::unique_ptr<Communicator> ranks = open_ranks(call);
  require(ranks != nullptr, "no launcher");
  if (words[0] == "exchange") exchange(*ranks);
  if (words[0] != "steps") return 0;
  try {
    return steps(*ranks, guard, std::stod(words.at(1)));
  } catch (const RankLost&) {
    std::this_thread::sleep_for(std::chrono::seconds(words.size() > 2 ? 1 : 0));
    throw;
  }
}

int report(const std::exception& error, int status) {
  std::fputs(fmt::format("error: {}\n", error.what()).c_str(), stderr);
  return status;
}

int status_of(const std::vector<std::string>& words) {
  try {
    return run(words);
  } catch (const ReportedRankLoss&) {
    return kRankLostStatus;
  } catch (const RankLost& error) {
    return report(error, kRankLostStatus);
  } catch (const SingletonError& error) {
    return report(error, kSingletonStatus);
  } catch (const std::exception& error) {
    return report(error, 1);
  }
}

}  // namespace
}  // namespace trainer

int main(int argc, char** argv) {
  const int status = trainer::status_of({argv + 1, argv + argc});
  if (const char* file = std::getenv("RANKS_STATUSES"))
    std::ofstream(file, std::ios::app)
        << fmt::format("rank {} status {}\n", trainer::find_launch(std::getenv).rank, status);
  return status;
}
