// A Communicator over MPI, as a shared object of its own: compiled once with Open MPI and once with MPICH. An exchange is
// point-to-point and polled against a clock, since no blocking call of MPI can time out.
#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <fmt/format.h>
#include <mpi.h>
#include <sched.h>
#include <set>

#include "trainer/ranks/launch.hpp"
#include "trainer/ranks/places.hpp"
#include "trainer/ranks/watchdog.hpp"
#include "trainer/system/clock.hpp"

namespace trainer {

namespace {

// Open MPI sends as much at once over TCP; about more it makes an agreement first, and the directions run one after the other.
constexpr std::size_t kLargestMessage = 65'000;
constexpr int kDataTag = 0;
constexpr int kWaitingTag = 1;
constexpr std::chrono::milliseconds kBetweenLooks(100);  // for ranks that have ended
// After it knows which rank was lost: so that all come to know it, and since a launcher may end all ranks when the first one leaves.
constexpr std::chrono::milliseconds kLowestLeaves(200), kOthersLeave(500);
constexpr double kGrace = 2;  // seconds that a call of MPI may take beyond the limit

struct Message {
  int peer;
  std::size_t bytes;
  const char* from = nullptr;  // sent, or
  char* into = nullptr;        // received
};

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(double seconds);
  ~MpiCommunicator() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_gather(void* data, const std::vector<std::size_t>& borders) override;
  void all_to_all(const void* data, const std::vector<std::size_t>& borders, void* received) override;
  void begin(const std::string& activity, double seconds) override;

 private:
  void post(const Message& message);  // starts sending or receiving it
  void wait();
  void look();
  void leave();
  void meet();
  void tell_waiting();
  void hear_waiting();
  bool is_late() const { return seconds_since(reached_) - waited_ > seconds_; }  // the others have lost it
  std::set<int> late_ranks() const;
  void lose(const std::set<int>& ranks, const std::string& what);
  void check(int error, int peer);

  int rank_ = 0;
  int size_ = 1;
  Places places_;
  std::string activity_;
  double seconds_ = 0;
  long exchange_ = 0;                  // number of the exchange in progress
  std::vector<MPI_Request> requests_;  // its messages
  std::vector<int> peers_;             // the rank of each
  std::vector<MPI_Status> statuses_;
  std::vector<long> waiting_;  // the last exchange for which each rank told that it waits
  bool has_told_ = false;
  double waited_ = 0;  // seconds in the exchange in progress, without those in which this process is frozen
  Clock::time_point reached_ = Clock::now();  // the end of the one before,
  bool came_late_ = false;                    // in which this rank was away for longer than the limit
  std::set<int> lost_ranks_;
  std::string lost_;  // what happened to them; empty: nothing
  bool prints_ = false;
  const char* severity_ = "error";
  Clock::time_point leaves_;
  const int exceptions_ = std::uncaught_exceptions();
  mutable std::mutex activity_mutex_;
  Watchdog watchdog_{[this] {
    const std::scoped_lock lock(activity_mutex_);
    return fmt::format("rank {} has waited in MPI for longer than {:g} s (--rank-timeout): {}", rank_,
                       seconds_, activity_);
  }};
};

// open_ranks() limits the time of MPI_Init.
// Any of the engine's threads may exchange, one at a time.
MpiCommunicator::MpiCommunicator(double seconds) {
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &size_);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  begin("the start", seconds);
  waiting_.assign(static_cast<std::size_t>(size_), -2);
  std::vector<Place> places(static_cast<std::size_t>(size_));
  places[static_cast<std::size_t>(rank_)] = own_place();
  std::vector<std::size_t> borders;
  for (int r = 0; r <= size_; ++r) borders.push_back(static_cast<std::size_t>(r) * sizeof(Place));
  all_gather(places.data(), borders);
  places_ = Places(places, rank_);
}

// All ranks come to the end together, unless one was lost or this one leaves by an error of its own.
MpiCommunicator::~MpiCommunicator() {
  if (!lost_.empty() || std::uncaught_exceptions() > exceptions_) return;
  severity_ = "warning";  // too late to matter to this rank
  try {
    meet();
  } catch (const RankLost&) {
    return;
  }
  watchdog_.set(seconds_);
  MPI_Finalize();
}

void MpiCommunicator::meet() {
  begin("the end", seconds_);
  std::vector<char> bytes(static_cast<std::size_t>(size_));
  std::vector<std::size_t> borders;
  for (int r = 0; r <= size_; ++r) borders.push_back(static_cast<std::size_t>(r));
  all_gather(bytes.data(), borders);
}

void MpiCommunicator::begin(const std::string& activity, double seconds) {
  const std::scoped_lock lock(activity_mutex_);
  activity_ = activity;
  seconds_ = seconds;
}

void MpiCommunicator::all_gather(void* data, const std::vector<std::size_t>& borders) {
  char* const bytes = static_cast<char*>(data);
  const auto part = [&](int r) { return borders[static_cast<std::size_t>(r)]; };
  for (int i = 1; i < size_; ++i) {
    const int from = (rank_ + size_ - i) % size_;
    post({.peer = from, .bytes = part(from + 1) - part(from), .into = bytes + part(from)});
  }
  for (int i = 1; i < size_; ++i)
    post({.peer = (rank_ + i) % size_, .bytes = part(rank_ + 1) - part(rank_), .from = bytes + part(rank_)});
  wait();
}

void MpiCommunicator::all_to_all(const void* data, const std::vector<std::size_t>& borders, void* received) {
  const char* const bytes = static_cast<const char*>(data);
  const auto part = [&](int r) { return borders[static_cast<std::size_t>(r)]; };
  const std::size_t own = part(rank_ + 1) - part(rank_);
  const auto place = [&](int r) { return static_cast<char*>(received) + static_cast<std::size_t>(r) * own; };
  for (int i = 1; i < size_; ++i) {
    const int from = (rank_ + size_ - i) % size_;
    post({.peer = from, .bytes = own, .into = place(from)});
  }
  for (int i = 1; i < size_; ++i) {
    const int to = (rank_ + i) % size_;
    post({.peer = to, .bytes = part(to + 1) - part(to), .from = bytes + part(to)});
  }
  if (own > 0) std::memcpy(place(rank_), bytes + part(rank_), own);
  wait();
}

void MpiCommunicator::post(const Message& message) {
  for (std::size_t done = 0; done < message.bytes; done += kLargestMessage) {
    const int count = static_cast<int>(std::min(kLargestMessage, message.bytes - done));
    watchdog_.set(seconds_ + kGrace);
    peers_.push_back(message.peer);
    MPI_Request& request = requests_.emplace_back(MPI_REQUEST_NULL);
    check(message.into == nullptr ? MPI_Isend(message.from + done, count, MPI_BYTE, message.peer, kDataTag,
                                              MPI_COMM_WORLD, &request)
                                  : MPI_Irecv(message.into + done, count, MPI_BYTE, message.peer, kDataTag,
                                              MPI_COMM_WORLD, &request),
          message.peer);
  }
}

// There may be more ranks than cores: one that waits soon lets others run.
void pause_after(Clock::duration waited) {
  if (waited > std::chrono::milliseconds(20))
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  else if (waited > std::chrono::microseconds(20))
    sched_yield();
}

void MpiCommunicator::wait() {
  const auto start = Clock::now();
  auto next_look = start + kBetweenLooks;
  waited_ = 0;
  watchdog_.set(seconds_ + kGrace);
  statuses_.resize(requests_.size());
  for (int done = 0;;) {
    const int error =
        MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, statuses_.data());
    for (std::size_t i = 0; error == MPI_ERR_IN_STATUS && i < peers_.size(); ++i)
      if (statuses_[i].MPI_ERROR != MPI_ERR_PENDING) check(statuses_[i].MPI_ERROR, peers_[i]);
    check(error, rank_);
    if (done != 0 && lost_.empty()) break;
    const auto now = Clock::now();
    if (now > next_look) {
      look();
      next_look = now + kBetweenLooks;
    }
    pause_after(now - start);
  }
  watchdog_.clear();
  requests_.clear();
  peers_.clear();
  came_late_ = is_late();
  reached_ = Clock::now();
  ++exchange_;
  has_told_ = false;
}

// What a rank that has waited for a while does: it decides which rank was lost, and goes on exchanging for a moment, so that all
// others decide the same. The lowest rank prints it.
void MpiCommunicator::look() {
  if (!lost_.empty()) return leave();
  waited_ += std::chrono::duration<double>(kBetweenLooks).count();
  hear_waiting();
  if (!has_told_ && waited_ > seconds_ / 2) tell_waiting();
  if (const std::set<int> ended = places_.ended(); !ended.empty())
    lose(ended, fmt::format("ended before {}", activity_));
  else if (waited_ > seconds_)
    lose(late_ranks(), fmt::format("not reached {} within {:g} s (--rank-timeout)", activity_, seconds_));
}

void MpiCommunicator::leave() {
  if (Clock::now() < leaves_) return;
  // Printed at once: what wakes may end badly, as the memory of this rank is about to go, and then the launcher ends all ranks.
  if (prints_) std::fputs(fmt::format("{}: {}\n", severity_, lost_).c_str(), stderr);
  for (const int r : lost_ranks_) places_.wake(r);  // a frozen one then ends too
  throw ReportedRankLoss(lost_);
}

// A rank that is missing here may itself be waiting for the one that was lost: it tells so.
void MpiCommunicator::tell_waiting() {
  has_told_ = true;
  for (int r = 0; r < size_; ++r) {
    MPI_Request request = MPI_REQUEST_NULL;
    if (r == rank_ ||
        MPI_Isend(&exchange_, 1, MPI_LONG, r, kWaitingTag, MPI_COMM_WORLD, &request) != MPI_SUCCESS)
      continue;
    MPI_Request_free(&request);
  }
}

void MpiCommunicator::hear_waiting() {
  MPI_Status status{};
  for (int there = 0;
       MPI_Iprobe(MPI_ANY_SOURCE, kWaitingTag, MPI_COMM_WORLD, &there, &status) == MPI_SUCCESS &&
       there != 0;) {
    long& exchange = waiting_[static_cast<std::size_t>(status.MPI_SOURCE)];
    MPI_Recv(&exchange, 1, MPI_LONG, status.MPI_SOURCE, kWaitingTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
}

// Those whose part of the exchange is missing, without those that wait themselves, in this exchange or in a neighbouring one.
std::set<int> MpiCommunicator::late_ranks() const {
  std::set<int> missing;
  std::set<int> late;
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    int done = 0;
    MPI_Request_get_status(requests_[i], &done, MPI_STATUS_IGNORE);
    if (done != 0) continue;
    missing.insert(peers_[i]);
    if (waiting_[static_cast<std::size_t>(peers_[i])] < exchange_ - 1) late.insert(peers_[i]);
  }
  return late.empty() ? missing : late;
}

void MpiCommunicator::lose(const std::set<int>& ranks, const std::string& what) {
  if (ranks.empty()) return;
  std::string names;
  for (const int r : ranks) names += (names.empty() ? "" : ", ") + places_.name(r);
  int lowest = 0;
  while (ranks.contains(lowest)) ++lowest;
  prints_ = lowest == rank_ && !came_late_ && !is_late();
  leaves_ = Clock::now() + (prints_ ? kLowestLeaves : kOthersLeave);
  lost_ranks_ = ranks;
  lost_ = fmt::format("{} {} {}", names, ranks.size() == 1 ? "has" : "have", what);
}

void MpiCommunicator::check(int error, int peer) {
  if (error == MPI_SUCCESS || !lost_.empty()) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(error, text.data(), &length);
  std::replace(text.begin(), text.end(), '\n', ' ');
  lose({peer}, fmt::format("been lost by MPI for {}: {}", activity_, text.data()));
}

}  // namespace

}  // namespace trainer

extern "C" trainer::Communicator* mnist_trainer_open_communicator(double seconds) {
  return new trainer::MpiCommunicator(seconds);
}
