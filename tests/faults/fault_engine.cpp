#include "tests/faults/fault_engine.hpp"

#include <utility>

#include "kernels/cpu/portable/backend.hpp"
#include "tests/faults/watched_kernels.hpp"
#if defined(TRAINER_FAULTS_EMULATED)
#include "tests/emulator/emulator.hpp"
#endif

namespace trainer::test {

bool on_gpu(FaultKind kind) {
  return kind == FaultKind::gpu_store || kind == FaultKind::gpu_memory;
}

bool can_try(FaultKind kind) {
#if defined(TRAINER_FAULTS_EMULATED)
  static_cast<void>(kind);
  return true;
#else
  return !on_gpu(kind);
#endif
}

std::unique_ptr<WatchedBackend> make_engine(FaultKind kind) {
  return std::make_unique<WatchedBackend>(on_gpu(kind) ? make_cuda_backend({.bits = Bits::portable})
                                                       : cpu::make_portable_backend(1, watched_kernels()));
}

std::uint64_t launches([[maybe_unused]] FaultKind kind) {
#if defined(TRAINER_FAULTS_EMULATED)
  if (on_gpu(kind)) return emulator::kernels_run();
#endif
  return kernel_watch.launches;
}

void call_after([[maybe_unused]] FaultKind kind, std::uint64_t after, std::function<void()> what) {
#if defined(TRAINER_FAULTS_EMULATED)
  if (on_gpu(kind)) return emulator::call_after(after, std::move(what));
#endif
  kernel_watch.call_after = kernel_watch.launches + after;
  kernel_watch.call = std::move(what);
}

}  // namespace trainer::test
