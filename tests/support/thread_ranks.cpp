#include "tests/support/thread_ranks.hpp"

#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <fmt/format.h>
#include <mutex>
#include <thread>

namespace trainer {

namespace {

using Bytes = std::vector<std::byte>;

// Carries the messages: those from one rank to another arrive in the order in which they were sent.
class Mail {
 public:
  explicit Mail(int size) : size_(size), boxes_(static_cast<std::size_t>(size * size)), ended_(size, false) {}

  int size() const { return size_; }

  void send(int from, int to, Bytes message) {
    const std::scoped_lock lock(mutex_);
    box(from, to).push_back(std::move(message));
    changed_.notify_all();
  }

  Bytes receive(int to, int from, const std::string& activity) {
    std::unique_lock lock(mutex_);
    std::deque<Bytes>& messages = box(from, to);
    changed_.wait(lock, [&] { return !messages.empty() || ended_[from]; });
    if (messages.empty()) {
      throw RankLost(
          fmt::format("rank {} of {} ended; rank {} waited for it in {}", from, size_, to, activity));
    }
    Bytes message = std::move(messages.front());
    messages.pop_front();
    return message;
  }

  // The rank's body has ended, with `error` unless that is null.
  void end(int rank, const std::exception_ptr& error) {
    const std::scoped_lock lock(mutex_);
    ended_[rank] = true;
    if (first_error_ == nullptr) first_error_ = error;
    changed_.notify_all();
  }

  void rethrow() const {
    if (first_error_ != nullptr) std::rethrow_exception(first_error_);
  }

 private:
  std::deque<Bytes>& box(int from, int to) { return boxes_[static_cast<std::size_t>(from * size_ + to)]; }

  int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::deque<Bytes>> boxes_;  // [from, to]
  std::vector<bool> ended_;
  std::exception_ptr first_error_;
};

class ThreadRank final : public Communicator {
 public:
  ThreadRank(Mail& mail, int rank) : mail_(mail), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return mail_.size(); }

  void all_gather(void* data, const std::vector<std::size_t>& borders) override {
    for (int to = 0; to < size(); ++to) mail_.send(rank_, to, part(data, borders, rank_));
    for (int from = 0; from < size(); ++from) {
      receive(from, static_cast<std::byte*>(data) + borders[from], borders[from + 1] - borders[from]);
    }
  }

  void all_to_all(const void* data, const std::vector<std::size_t>& borders, void* received) override {
    for (int to = 0; to < size(); ++to) mail_.send(rank_, to, part(data, borders, to));
    const std::size_t bytes = borders[rank_ + 1] - borders[rank_];
    for (int from = 0; from < size(); ++from) {
      receive(from, static_cast<std::byte*>(received) + static_cast<std::size_t>(from) * bytes, bytes);
    }
  }

  void begin(const std::string& activity, double /*seconds*/) override { activity_ = activity; }

 private:
  Bytes part(const void* data, const std::vector<std::size_t>& borders, int index) const {
    if (borders.size() != static_cast<std::size_t>(size()) + 1) {
      throw std::logic_error(fmt::format("{} borders for {} ranks", borders.size(), size()));
    }
    const auto* bytes = static_cast<const std::byte*>(data);
    return {bytes + borders[index], bytes + borders[index + 1]};
  }

  void receive(int from, std::byte* to, std::size_t bytes) {
    const Bytes message = mail_.receive(rank_, from, activity_);
    if (message.size() != bytes) {
      throw std::logic_error(fmt::format("rank {} sent {} bytes in {} where rank {} expects {}", from,
                                         message.size(), activity_, rank_, bytes));
    }
    if (bytes > 0) std::memcpy(to, message.data(), bytes);
  }

  Mail& mail_;
  int rank_;
  std::string activity_ = "the start";
};

}  // namespace

void run_ranks(int size, const std::function<void(Communicator&)>& body) {
  Mail mail(size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&mail, &body, rank] {
      std::exception_ptr error;
      try {
        ThreadRank communicator(mail, rank);
        body(communicator);
      } catch (...) {
        error = std::current_exception();
      }
      mail.end(rank, error);
    });
  }
  for (std::thread& thread : threads) thread.join();
  mail.rethrow();
}

}  // namespace trainer
