// Trainings of six steps in each of which one bit is flipped once, and what the digests say of it. The network has every kind of layer
// and optimiser that `sprint-lean` has, and convolution with ReLU and dropout besides, in at most 5,000 parameters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trainer::test {

constexpr int kFaultSteps = 6;

enum class FaultKind {
  arithmetic,  // the result of an operation of a kernel, on a CPU
  load,        // a value as it is read from memory or a variable, on a CPU
  store,       // between two kernels, on a CPU: of the words that the first of them has changed
  memory,      // the same, of all buffers
  gpu_store,   // on the emulated GPU
  gpu_memory,
};
inline constexpr FaultKind kFaultKinds[] = {FaultKind::arithmetic, FaultKind::load,
                                            FaultKind::store,      FaultKind::memory,
                                            FaultKind::gpu_store,  FaultKind::gpu_memory};
const char* fault_name(FaultKind kind);
// Whether this program was built with the emulated GPU that the kind needs, if it needs one.
bool can_try(FaultKind kind);

enum class FaultEnd {
  completed,  // all steps ran
  failed,     // an error: a launch that failed
  crashed,    // a signal: an index that left its buffer
  endless,    // no end within ten times the time of a whole training
};
const char* end_name(FaultEnd end);

struct FaultResult {
  std::uint64_t seed = 0;  // all that follows, and the fault, are a function of it
  FaultKind kind = FaultKind::arithmetic;
  int step = 0;  // of the fault, from 0
  std::uint64_t event =
      0;              // which operation, read or kernel of the step, from 0; each of all steps is as likely
  unsigned bit = 0;   // of the value: modulo 32, or 64 of a double
  std::string where;  // kernel or buffer
  FaultEnd end = FaultEnd::completed;
  int first_step = -1;          // the first whose digest, the optimiser's state included, differs; -1: none
  bool run_differs = false;     // the digest of weights and running statistics at the end
  bool weight_moved = false;    // after some step
  bool weight_differs = false;  // at the end

  bool found() const { return run_differs || end != FaultEnd::completed; }
  bool traced() const { return found() && first_step == step; }
  // A weight was wrong, and nothing tells so in the end.
  bool came_back() const { return weight_moved && !found(); }
};

// `count` faults, of the seeds `seed`, `seed` + 1, ..., in the order of their steps; each runs in a process of its own. Throws
// BackendError if the kind cannot be tried, std::runtime_error if the clean trainings differ from one another.
std::vector<FaultResult> try_faults(FaultKind kind, std::uint64_t seed, std::uint64_t count);

// How many parameters the network has.
std::size_t fault_network_parameters();

}  // namespace trainer::test
