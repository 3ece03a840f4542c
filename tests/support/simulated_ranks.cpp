#include "tests/support/simulated_ranks.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <fmt/format.h>
#include <limits>
#include <mutex>
#include <random>

#include "tests/support/mailed_rank.hpp"

namespace trainer {

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kFrozenSeconds = 1e6;

// Draws the same numbers everywhere, which the distributions of <random> do not.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t below(std::uint64_t count) { return engine_() % count; }
  // Mostly less than 0.2 ms, sometimes a hundred times that.
  double delay() { return 1e-6 * static_cast<double>(1 + below(200)) * (below(16) == 0 ? 100 : 1); }

 private:
  std::mt19937_64 engine_;
};

struct Letter {
  double arrival;
  Message message;
};

struct RankState {
  double now = 0;
  double deadline = kNever;
  int awaits = -1;  // the rank whose message it waits for
  std::uint64_t sent = 0;
  bool ended = false;
};

class SimulatedMail final : public Mail {
 public:
  SimulatedMail(std::uint64_t seed, int size, std::uint64_t messages)
      : dice_(seed), size_(size), boxes_(static_cast<std::size_t>(size * size)), ranks_(size), turns_(size) {
    const std::uint64_t kind = dice_.below(4);
    run_.fate = {kind == 0   ? Fate::Kind::dies
                 : kind == 1 ? Fate::Kind::freezes
                             : Fate::Kind::none,
                 static_cast<int>(dice_.below(static_cast<std::uint64_t>(size))), dice_.below(messages)};
    run_.errors.resize(static_cast<std::size_t>(size));
    for (RankState& rank : ranks_) rank.now = dice_.delay();
    turn_ = next();
  }

  int size() const override { return size_; }
  SimulatedRun take_run() { return std::move(run_); }

  void start(int rank) override {
    std::unique_lock lock(mutex_);
    await_turn(lock, rank);
  }

  void begin(int rank, double seconds) override { ranks_[rank].deadline = ranks_[rank].now + seconds; }

  // Only the rank whose turn it is calls this and begin(), so neither needs the lock.
  void send(int from, int to, Message message) override {
    RankState& rank = ranks_[from];
    meet_fate(from);
    rank.now += dice_.delay();
    std::deque<Letter>& letters = box(from, to);
    const double earliest = letters.empty() ? 0 : letters.back().arrival;
    const double arrival = from == to ? rank.now : std::max(earliest, rank.now + dice_.delay());
    note(from, fmt::format("sends {} bytes to {}, there at {:.6f}", message.size(), to, arrival));
    letters.push_back({arrival, std::move(message)});
    ++rank.sent;
  }

  Message receive(int to, int from, const std::string& activity) override {
    std::unique_lock lock(mutex_);
    RankState& rank = ranks_[to];
    rank.awaits = from;
    pass_turn();
    await_turn(lock, to);
    rank.now = wakes(to);
    rank.awaits = -1;
    std::deque<Letter>& letters = box(from, to);
    if (letters.empty() || letters.front().arrival > rank.deadline) {
      note(to, fmt::format("has lost rank {}", from));
      throw RankLost(
          fmt::format("rank {} did not reach {} in time; rank {} waited for it", from, activity, to));
    }
    note(to, fmt::format("receives from {}", from));
    Message message = std::move(letters.front().message);
    letters.pop_front();
    return message;
  }

  void end(int rank, const std::exception_ptr& error) override {
    const std::scoped_lock lock(mutex_);
    run_.errors[static_cast<std::size_t>(rank)] = error;
    ranks_[rank].ended = true;
    note(rank, "ends");
    pass_turn();
  }

 private:
  std::deque<Letter>& box(int from, int to) { return boxes_[static_cast<std::size_t>(from * size_ + to)]; }

  void note(int rank, const std::string& what) {
    run_.trace.push_back(fmt::format("{:.6f} rank {} {}", ranks_[rank].now, rank, what));
  }

  void meet_fate(int rank) {
    if (rank != run_.fate.rank || ranks_[rank].sent != run_.fate.message ||
        run_.fate.kind == Fate::Kind::none)
      return;
    note(rank, run_.fate.kind == Fate::Kind::dies ? "dies" : "freezes");
    if (run_.fate.kind == Fate::Kind::dies) throw RankDied(fmt::format("rank {} died", rank));
    ranks_[rank].now += kFrozenSeconds;
  }

  // When the rank's next event is: the message that it waits for, or the end of its patience.
  double wakes(int rank) {
    const RankState& state = ranks_[rank];
    if (state.awaits < 0) return state.now;
    const std::deque<Letter>& letters = box(state.awaits, rank);
    const double arrival = letters.empty() ? kNever : letters.front().arrival;
    return std::max(state.now, std::min(arrival, state.deadline));
  }

  // The rank whose next event is the earliest, or -1 when all have ended.
  int next() {
    int first = -1;
    for (int rank = 0; rank < size_; ++rank) {
      if (!ranks_[rank].ended && (first < 0 || wakes(rank) < wakes(first))) first = rank;
    }
    return first;
  }

  void pass_turn() {
    turn_ = next();
    if (turn_ >= 0) turns_[turn_].notify_one();
  }

  void await_turn(std::unique_lock<std::mutex>& lock, int rank) {
    turns_[rank].wait(lock, [&] { return turn_ == rank; });
  }

  Dice dice_;
  int size_;
  std::vector<std::deque<Letter>> boxes_;  // [from, to]
  std::vector<RankState> ranks_;
  SimulatedRun run_;
  std::mutex mutex_;
  std::vector<std::condition_variable> turns_;  // [ranks]
  int turn_ = 0;
};

}  // namespace

SimulatedRun run_simulated(std::uint64_t seed, int size, std::uint64_t messages,
                           const std::function<void(Communicator&)>& body) {
  SimulatedMail mail(seed, size, messages);
  run_mailed(mail, body);
  return mail.take_run();
}

}  // namespace trainer
