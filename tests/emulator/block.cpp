#include "tests/emulator/block.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <fmt/format.h>

#include "tests/emulator/places.hpp"

namespace emulator {

Position position;

namespace {

// The blocks of the largest cooperative grid so far, kept for their fibers.
struct Blocks {
  std::vector<std::unique_ptr<Block>> all;
  Block* running = nullptr;
};

Blocks& blocks() {
  static Blocks only;
  return only;
}

}  // namespace

Block& change_block(std::size_t number) {
  Blocks& b = blocks();
  while (b.all.size() <= number) b.all.push_back(std::make_unique<Block>());
  b.running = b.all[number].get();
  return *b.running;
}

Block& block() {
  return blocks().running != nullptr ? *blocks().running : change_block(0);
}

void Block::run(const std::function<void()>& thread, dim3 size, std::uint64_t seed, bool cooperative) {
  thread_ = &thread;
  cooperative_ = cooperative;
  prepare(size, seed);
  work_from(idle_fiber());
}

void Block::go_on() {
  barrier_.waiting = 0;
  open_barrier(nullptr);
  work_from(next());
}

void Block::work_from(Fiber& fiber) {
  Fiber::change(main_, fiber);
  current_ = nullptr;
  if (!failure_) return;
  abandon();
  const std::unique_ptr<LaunchFailure> failure = std::move(failure_);
  throw LaunchFailure(*failure);
}

void Block::abandon() {
  ready_ahead_.clear();
  ready_.clear();
  idle_.clear();
  fibers_.clear();
}

void Block::prepare(dim3 size, std::uint64_t seed) {
  count_ = static_cast<int>(size.x * size.y * size.z);
  started_ = 0;
  gone_ = 0;
  barrier_ = {};
  threads_.resize(static_cast<std::size_t>(count_));
  for (int number = 0; number < count_; ++number) {
    Thread& thread = threads_[static_cast<std::size_t>(number)];
    const auto n = static_cast<unsigned>(number);
    thread.number = number;
    thread.index = {n % size.x, n / size.x % size.y, n / size.x / size.y};
    thread.state = State::fresh;
  }
  const int warps = (count_ + kWarp - 1) / kWarp;
  warps_.assign(static_cast<std::size_t>(warps), Warp{~0U, 0});
  if (const int rest = count_ % kWarp; rest > 0)
    warps_.back().present = (1U << static_cast<unsigned>(rest)) - 1;
  seed_ = seed;
  order_ = Permutation(static_cast<std::uint64_t>(count_), seed);
  in_order_ = 0;
  barriers_ = 0;
  choose_ahead();
  lanes_ = Permutation(static_cast<std::uint64_t>(std::min(kWarp, count_ - ahead_ * kWarp)), seed);
  started_ahead_ = 0;
}

// In the natural order, which seed 0 asks for, the first warp runs ahead.
void Block::choose_ahead() {
  ahead_ = seed_ == 0 ? 0 : static_cast<int>(scramble(seed_ + barriers_) % warps_.size());
  ++barriers_;
}

void Block::make_ready(Thread& thread) {
  thread.state = State::ready;
  (is_ahead(thread.number) ? ready_ahead_ : ready_).push_back(&thread);
}

// Whether a thread that has not begun is the one to run: the others begin when the warp ahead can do no more.
bool Block::may_start() const {
  return ready_ahead_.empty() && (starts_ahead() || (started_ < count_ && ready_.empty()));
}

Block::Thread& Block::fresh_thread() {
  ++started_;
  if (starts_ahead()) return threads_[static_cast<std::size_t>(ahead_) * kWarp + lanes_(started_ahead_++)];
  while (threads_[order_(in_order_)].state != State::fresh) ++in_order_;
  return threads_[order_(in_order_++)];
}

void Block::work() {
  Fiber::begin();
  Block& self = block();
  for (;;) self.start_threads();
}

// Runs on its own fiber. A thread that never waits costs no switch: the next thread runs on the same fiber.
void Block::start_threads() {
  Fiber* mine = idle_.back();
  idle_.pop_back();
  while (may_start()) {
    Thread& thread = fresh_thread();
    thread.fiber = mine;
    thread.state = State::running;
    current_ = &thread;
    position.thread = thread.index;
    (*thread_)();
    leave(thread);
  }
  idle_.push_back(mine);
  Fiber& other = next();
  if (&other != mine) Fiber::change(*mine, other);
}

void Block::leave(Thread& self) {
  self.state = State::gone;
  ++gone_;
  if (barrier_.waiting > 0) {
    std::string why = fmt::format(
        "thread {} returned while thread {} waits at {} ({}): all threads of a "
        "block must come to a barrier",
        self.number, barrier_.first, barrier_.name, text(barrier_.place));
    fail(cudaErrorLaunchFailure, std::move(why));
  }
  Warp& warp = warps_[static_cast<std::size_t>(self.number / kWarp)];
  warp.present &= ~(1U << static_cast<unsigned>(self.number % kWarp));
  for (unsigned rest = warp.waiting; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    const WarpCall& call = threads_[static_cast<std::size_t>(self.number / kWarp * kWarp + lane)].call;
    if (!has(call.mask, self.number % kWarp)) continue;
    std::string why = fmt::format(
        "thread {} returned while lane {} of its warp waits for it at {} ({}), mask "
        "{:08x}",
        self.number, lane, call.name, text(call.place), call.mask);
    fail(cudaErrorLaunchFailure, std::move(why));
  }
}

// Waits until something has made this thread ready.
void Block::park(Thread& self) {
  Fiber& other = next();
  if (&other != self.fiber) Fiber::change(*self.fiber, other);
  self.state = State::running;
  current_ = &self;
  position.thread = self.index;
}

// The fiber to switch to: that of a ready thread, else one for threads that have not begun, else back to run().
Fiber& Block::next() {
  if (may_start()) return idle_fiber();
  if (auto& queue = ready_ahead_.empty() ? ready_ : ready_ahead_; !queue.empty()) {
    Fiber& fiber = *queue.front()->fiber;
    queue.pop_front();
    return fiber;
  }
  if (gone_ < count_ && !waits_for_grid() && !failure_) {
    failure_ = std::make_unique<LaunchFailure>(LaunchFailure{cudaErrorLaunchFailure, waiting_text()});
  }
  return main_;
}

// Stays in idle_ until it begins to work.
Fiber& Block::idle_fiber() {
  if (idle_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>(&Block::work, static_cast<unsigned>(fibers_.size())));
    idle_.push_back(fibers_.back().get());
  }
  return *idle_.back();
}

// The stack frames of a failed thread are never unwound, so nothing on them may own memory: the text is moved from, and
// callers pass `text` as the last string they own.
void Block::fail(cudaError_t code, std::string text) {
  failure_ = std::make_unique<LaunchFailure>(LaunchFailure{code, std::move(text)});
  Fiber::change(*current_->fiber, main_);
  std::abort();  // a fiber that failed is never resumed
}

bool Block::overflowed(const void* address) const {
  return current_ != nullptr && current_->fiber->holds(address);
}

int Block::wait_for_block(BarrierKind kind, const char* name, int value, Place place) {
  Thread& self = *current_;
  join_barrier(self, kind, name, place);
  if (value != 0) ++barrier_.true_values;
  self.state = State::at_barrier;
  if (barrier_.waiting == count_ && kind != BarrierKind::grid) open_barrier(&self);
  if (self.state != State::running) park(self);
  return barrier_.result;
}

void Block::join_barrier(Thread& self, BarrierKind kind, const char* name, Place place) {
  if (kind == BarrierKind::grid && !cooperative_) {
    std::string why =
        fmt::format("thread {} at {} ({}): the launch is not cooperative", self.number, name, text(place));
    fail(cudaErrorLaunchFailure, std::move(why));
  }
  if (gone_ > 0) {
    std::string why = fmt::format(
        "thread {} waits at {} ({}) after other threads have returned: all threads "
        "of a block must come to a barrier",
        self.number, name, text(place));
    fail(cudaErrorLaunchFailure, std::move(why));
  }
  if (barrier_.waiting == 0) {
    barrier_ = {kind, name, place, self.number, 0, 0, barrier_.result};
  } else if (kind != barrier_.kind || !same(place, barrier_.place)) {
    std::string why =
        fmt::format("thread {} waits at {} ({}), thread {} at {} ({}): not the same barrier", self.number,
                    name, text(place), barrier_.first, barrier_.name, text(barrier_.place));
    fail(cudaErrorLaunchFailure, std::move(why));
  }
  ++barrier_.waiting;
}

// Makes all threads ready; `last` just goes on if it is of the warp that now runs ahead.
void Block::open_barrier(Thread* last) {
  const int yes = barrier_.true_values;
  if (barrier_.kind == BarrierKind::count) barrier_.result = yes;
  if (barrier_.kind == BarrierKind::any) barrier_.result = yes > 0 ? 1 : 0;
  if (barrier_.kind == BarrierKind::all) barrier_.result = yes == count_ ? 1 : 0;
  barrier_.waiting = 0;
  choose_ahead();
  for (int i = 0; i < count_; ++i) {
    Thread& thread = threads_[order_(static_cast<std::uint64_t>(i))];
    if (&thread == last && is_ahead(thread.number)) {
      thread.state = State::running;
    } else {
      make_ready(thread);
    }
  }
}

// No thread can continue: says which waits where.
std::string Block::waiting_text() const {
  const Thread* in_warp = nullptr;
  for (const Thread& thread : threads_) {
    if (thread.state == State::in_warp) in_warp = &thread;
  }
  std::string all = "threads wait for one another: ";
  if (in_warp != nullptr) {
    all += fmt::format("thread {} at {} ({}), mask {:08x}", in_warp->number, in_warp->call.name,
                       text(in_warp->call.place), in_warp->call.mask);
  }
  if (barrier_.waiting > 0) {
    all += fmt::format("{}{} threads at {} ({}), of them thread {}", in_warp != nullptr ? "; " : "",
                       barrier_.waiting, barrier_.name, text(barrier_.place), barrier_.first);
  }
  return all;
}

int wait_for_block(BarrierKind kind, const char* name, int value, Place place) {
  return block().wait_for_block(kind, name, value, place);
}

std::uint64_t wait_for_warp(const WarpCall& call) {
  return block().wait_for_warp(call);
}

int lane_of_thread() {
  return block().lane();
}

void trap(const char* what, Place place) {
  std::string why = fmt::format("{} at {}", what, text(place));
  block().fail(cudaErrorLaunchFailure, std::move(why));
}

}  // namespace emulator
