// The engine that a kind of fault is tried on, and how the trial gets between two of its kernels.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "tests/faults/fault_trial.hpp"
#include "tests/faults/watched_backend.hpp"

namespace trainer::test {

bool on_gpu(FaultKind kind);
std::unique_ptr<WatchedBackend> make_engine(FaultKind kind);
std::uint64_t launches(FaultKind kind);  // of this process, so far
// Calls `what` once, after as many more kernels; memory of the engine is accessible to it. `after` counts from 1.
void call_after(FaultKind kind, std::uint64_t after, std::function<void()> what);

}  // namespace trainer::test
