#include "kernels/cpu/runtime/stream.hpp"

#include <chrono>
#include <system_error>
#include <utility>

namespace trainer::cpu {

namespace {

// How long a thread that waits looks before it sleeps. A wait of a step on cores of its own takes a few microseconds; asleep, a
// thread leaves its core to whatever keeps the others from theirs.
constexpr std::chrono::microseconds kLooking{20};

constexpr std::uint64_t kTakenBits = 32;
constexpr auto kBeforeFirst = static_cast<std::size_t>(-1);

thread_local int this_worker = 0;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

int Phase::items() const {
  int all = 0;
  for (const Work& work : works) all += work.items;
  return all;
}

Stream::Stream(int threads, Action prepare) : prepare_(std::move(prepare)) {
  try {
    for (int worker = 1; worker < threads; ++worker) workers_.emplace_back([this, worker] { work(worker); });
  } catch (const std::system_error&) {  // no more threads are to be had: these do the same
  }
}

Stream::~Stream() {
  stop_ = true;
  wake();
  for (std::thread& worker : workers_) worker.join();
}

int Stream::worker() {
  return this_worker;
}

void Stream::shards(int count, Task task) {
  std::vector<Phase>& phases = program_.phases;
  const bool joins =
      before_.empty() && !phases.empty() && phases.back().shards && phases.back().items() == count;
  if (joins) {
    phases.back().works[0].tasks.push_back(std::move(task));
    return;
  }
  phase(count, std::move(task));
  phases.back().shards = true;
}

void Stream::phase(std::vector<Work> works) {
  program_.phases.push_back({std::exchange(before_, {}), std::move(works)});
}

void Stream::serial(Action action) {
  before_.push_back(std::move(action));
}

void Stream::close() {
  if (!closing_.empty()) phase(std::exchange(closing_, {}));
}

void Stream::end_step() {
  close();
  std::vector<Phase>& phases = program_.phases;
  if (!opening_.empty())
    phases.insert(phases.begin() + static_cast<std::ptrdiff_t>(step_),
                  Phase{{}, std::exchange(opening_, {})});
  step_ = phases.size();
}

Program Stream::take() {
  end_step();
  step_ = 0;
  program_.after = std::exchange(before_, {});
  return std::exchange(program_, {});
}

void Stream::flush() {
  const Program program = take();
  if (!program.phases.empty() || !program.after.empty()) run(program);
}

void Stream::run(const Program& program, std::uint64_t times) {
  if (prepare_) prepare_();
  running_ = &program;
  times_ = times;
  failed_ = false;
  failure_ = nullptr;
  finished_ = false;
  at_ = kBeforeFirst;
  advance();
  while (!finished_) {
    const std::uint32_t seen = epoch_;
    if (!take_item(0) && !finished_) wait(seen);
  }
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Stream::work(int worker) {
  this_worker = worker;
  if (prepare_) prepare_();
  while (!stop_) {
    const std::uint32_t seen = epoch_;
    if (!take_item(worker) && !stop_) wait(seen);
  }
}

// False if the phase has no more items. Only who has an item may touch the program, which ends with its last item.
bool Stream::take_item(int worker) {
  const std::uint64_t word = taken_.fetch_add(1);
  const std::uint64_t item = word & ((std::uint64_t{1} << kTakenBits) - 1);
  if (item >= word >> kTakenBits) return false;
  run_item(static_cast<std::size_t>(item), worker);
  return true;
}

void Stream::run_item(std::size_t item, int worker) {
  const std::size_t items = items_;
  if (!failed_) {
    guarded([&] {
      std::size_t at = item;
      for (const Work& work : running_->phases[at_].works) {
        const auto count = static_cast<std::size_t>(work.items);
        if (at < count) {
          for (const Task& task : work.tasks) task(static_cast<int>(at), worker);
          return;
        }
        at -= count;
      }
    });
  }
  if (done_.fetch_add(1) + 1 == items) advance();
}

void Stream::guarded(const Action& action) {
  try {
    action();
  } catch (...) {
    if (!failed_.exchange(true)) failure_ = std::current_exception();
  }
}

// Opens the next phase, by the thread that did the last item of the one before.
void Stream::advance() {
  done_ = 0;
  while (next_phase()) {
    items_ = static_cast<std::size_t>(running_->phases[at_].items());
    if (items_ > 0) return publish(items_);
  }
  taken_ = 0;
  finished_ = true;  // the caller may begin another program from here on
  wake();
}

// Goes on to the next phase and does what comes before it; false at the end.
bool Stream::next_phase() {
  for (;;) {
    ++at_;
    if (failed_) return false;
    if (at_ < running_->phases.size()) {
      for (const Action& action : running_->phases[at_].before) guarded(action);
      return !failed_;
    }
    for (const Action& action : running_->after) guarded(action);
    if (failed_ || --times_ == 0) return false;
    at_ = kBeforeFirst;
  }
}

void Stream::publish(std::size_t items) {
  taken_ = std::uint64_t{items} << kTakenBits;
  wake();
}

void Stream::wake() {
  ++epoch_;
  epoch_.notify_all();
}

void Stream::wait(std::uint32_t seen) const {
  const auto end = std::chrono::steady_clock::now() + kLooking;
  do {
    for (int i = 0; i < 16; ++i) {
      if (epoch_ != seen) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  epoch_.wait(seen);
}

}  // namespace trainer::cpu
