// Ranks in a simulated time. One runs at a time, the one whose next event is the earliest; the seed decides how long computing and
// each message take, and whether a rank dies or freezes, and where. The same seed and bodies give the same run, event by event:
// a failing test names its seed, and the trace of that seed shows what led to it. Nothing waits in real time.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/communicator.hpp"

namespace trainer {

// Thrown out of a call of the rank that dies.
class RankDied : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Fate {
  enum class Kind { none, dies, freezes };
  Kind kind = Kind::none;
  int rank = 0;
  std::uint64_t message = 0;  // in place of sending so many'th message, or before it
};

struct SimulatedRun {
  Fate fate;
  std::vector<std::exception_ptr> errors;  // [ranks]; null: the body returned
  std::vector<std::string> trace;
};

// `messages`: about as many as a rank sends; the fate falls on one of them. Half of the seeds have no fate.
SimulatedRun run_simulated(std::uint64_t seed, int size, std::uint64_t messages,
                           const std::function<void(Communicator&)>& body);

}  // namespace trainer
