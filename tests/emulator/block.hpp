// One block of threads: runs them on fibers, in an order derived from a seed, and synchronises them at barriers and
// warp operations. One warp runs ahead: alone from each barrier to the next, before the others do, so that what a
// missing barrier would order comes in the wrong order. What CUDA leaves undefined ends the block with a LaunchFailure: a barrier that some threads skip, a
// shuffle with a lane that has exited.
#pragma once

#include <cstdint>
#include <cuda_runtime.h>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/emulator/fiber.hpp"
#include "tests/emulator/permutation.hpp"

namespace emulator {

// How a kernel failed. The device is lost, as a real one would be.
struct LaunchFailure {
  cudaError_t code = cudaErrorLaunchFailure;
  std::string text;
};

class Block {
 public:
  Block() = default;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  // Runs `thread` once for each thread of a block of `size`; position.block is set already. If the grid is
  // `cooperative`, also returns when all threads wait for the grid.
  void run(const std::function<void()>& thread, dim3 size, std::uint64_t seed, bool cooperative);
  bool waits_for_grid() const { return barrier_.kind == BarrierKind::grid && barrier_.waiting == count_; }
  void go_on();    // continues after the grid's barrier
  void abandon();  // drops the waiting threads, after another block of the grid has failed

  int wait_for_block(BarrierKind kind, const char* name, int value, Place place);
  std::uint64_t wait_for_warp(const WarpCall& call);
  int thread_number() const { return current_->number; }
  int lane() const { return current_->number % kWarp; }
  [[noreturn]] void fail(cudaError_t code, std::string text);
  // A stack on which fail() can be called after a fault; null while no thread runs.
  char* stack_for_fault() const { return current_ != nullptr ? current_->fiber->top() : nullptr; }
  bool overflowed(const void* address) const;

 private:
  static constexpr int kWarp = 32;
  enum class State { fresh, running, at_barrier, in_warp, ready, gone };

  struct Thread {
    int number = 0;
    uint3 index{};
    State state = State::fresh;
    Fiber* fiber = nullptr;
    WarpCall call{};           // while in_warp
    std::uint64_t answer = 0;  // result of the warp operation
  };
  struct Warp {
    unsigned present = 0;  // lanes that have not exited
    unsigned waiting = 0;
  };
  struct Barrier {
    BarrierKind kind = BarrierKind::sync;
    const char* name = "";
    Place place{};
    int first = 0;  // the thread that arrived first
    int waiting = 0;
    int true_values = 0;
    int result = 0;
  };

  static void work();  // what a fiber does
  void prepare(dim3 size, std::uint64_t seed);
  void choose_ahead();
  bool is_ahead(int number) const { return number / kWarp == ahead_; }
  bool starts_ahead() const { return started_ahead_ < lanes_.count(); }
  bool may_start() const;
  Thread& fresh_thread();
  void make_ready(Thread& thread);
  void work_from(Fiber& fiber);
  void start_threads();
  void leave(Thread& self);
  void park(Thread& self);
  Fiber& next();
  Fiber& idle_fiber();
  void join_barrier(Thread& self, BarrierKind kind, const char* name, Place place);
  void open_barrier(Thread* last);
  bool is_wrong(const Thread& self, const WarpCall& call) const;  // whether its mask is
  std::string mask_fault(const Thread& self, const WarpCall& call) const;
  void open_warp(const Thread& last, const Warp& warp);
  std::uint64_t answer(const Thread& thread, int first);
  void multiply_tf32(int first) const;
  std::string waiting_text() const;

  const std::function<void()>* thread_ = nullptr;
  bool cooperative_ = false;
  int count_ = 0;
  int started_ = 0;
  int gone_ = 0;
  std::uint64_t seed_ = 0;
  Permutation order_;
  std::uint64_t in_order_ = 0;  // how many of the order have been looked at
  int ahead_ = 0;               // the warp that runs ahead, another one after each barrier
  Permutation lanes_;           // of the warp that runs ahead when the block begins
  std::uint64_t started_ahead_ = 0;
  std::uint64_t barriers_ = 0;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  Barrier barrier_;
  Thread* current_ = nullptr;
  std::deque<Thread*> ready_ahead_;  // of the warp that runs ahead: they come before all others
  std::deque<Thread*> ready_;
  Fiber main_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  std::unique_ptr<LaunchFailure> failure_;
};

// The only block that runs at a time, and the function that switches to the next one of a cooperative grid.
Block& block();
Block& change_block(std::size_t number);

}  // namespace emulator
