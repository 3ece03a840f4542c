// How the CPU engine uses its threads. A step is a list of phases with a wait between two of them. A phase has items, which threads
// take from a counter, so that a thread that loses its core keeps no more than one item from the others; an item is a shard of
// the batch's images, or a part of some other array. Items and what they add up are fixed by shapes alone, so that results do not
// depend on the number of threads. Ops only append to the list; it runs when the backend launches or waits.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

namespace trainer::cpu {

// The number of cores that this process may use: the affinity mask, limited by the CPU quota of its control groups, rounded up. At least 1.
int usable_cores();

using Task = std::function<void(int item, int worker)>;
using Action = std::function<void()>;

// Items that do not depend on those of the same phase; item i runs all tasks for i, one after the other.
struct Work {
  int items = 0;
  std::vector<Task> tasks;
};

struct Phase {
  std::vector<Action> before;  // one thread runs them before any item
  std::vector<Work> works;
  bool shards = false;  // one work, to which shards() may append
  int items() const;
};

struct Program {
  std::vector<Phase> phases;
  std::vector<Action> after;  // one thread runs them in the end
};

class Stream {
 public:
  // Each thread, also one that calls run(), calls `prepare` before it computes. It makes do with fewer threads if there are no more.
  explicit Stream(int threads, Action prepare = {});
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  static int worker();  // the number of the thread that asks; 0 for every thread that calls run()

  // Appends task(i, worker) for each shard i of a batch, without a wait if the call before was of this kind with the same count:
  // shard i then needs nothing of other shards.
  void shards(int count, Task task);
  // Appends a phase: it waits for all that was appended before, and what is appended later waits for it.
  void phase(std::vector<Work> works);
  void phase(int items, Task task) { phase(std::vector<Work>{{items, {std::move(task)}}}); }
  // Appends what one thread does while the others wait.
  void serial(Action action);
  // What needs nothing of the step, such as weights in another layout: in a phase before all others of the step.
  void opening(int items, Task task) { opening_.push_back({items, {std::move(task)}}); }
  // What nothing but the end of a step reads, such as sums of the shards: in one phase, when close() is called.
  void closing(int items, Task task) { closing_.push_back({items, {std::move(task)}}); }
  void close();
  void end_step();  // what is appended from here on is another step

  // The program appended since the last call, which is left empty.
  Program take();
  // Runs the program `times` times in a row, on all threads. Throws what a task threw first; the tasks after it are left out.
  void run(const Program& program, std::uint64_t times = 1);
  void flush();  // runs take()

 private:
  void work(int worker);
  bool take_item(int worker);
  void run_item(std::size_t item, int worker);
  void advance();
  bool next_phase();
  void publish(std::size_t items);
  void wake();
  void wait(std::uint32_t seen) const;
  void guarded(const Action& action);

  // What is being appended.
  Program program_;
  std::vector<Work> opening_, closing_;
  std::vector<Action> before_;
  std::size_t step_ = 0;  // the phase with which the step begins

  // What runs. One word holds the items of the phase and how many are taken: who takes one learns both at once.
  alignas(64) std::atomic<std::uint64_t> taken_{0};
  alignas(64) std::atomic<std::uint32_t> done_{0};
  alignas(64) std::atomic<std::uint32_t> epoch_{0};  // changes with every phase
  const Program* running_ = nullptr;
  std::size_t at_ = 0;     // the phase
  std::size_t items_ = 0;  // the phase has so many
  std::uint64_t times_ = 0;
  std::atomic<bool> finished_{true}, failed_{false}, stop_{false};
  std::exception_ptr failure_;
  Action prepare_;
  std::vector<std::thread> workers_;
};

}  // namespace trainer::cpu
