#include "tests/support/thread_ranks.hpp"

#include <condition_variable>
#include <deque>
#include <fmt/format.h>
#include <mutex>

#include "tests/support/mailed_rank.hpp"

namespace trainer {

namespace {

// A message arrives when it is sent.
class InstantMail final : public Mail {
 public:
  explicit InstantMail(int size)
      : size_(size), boxes_(static_cast<std::size_t>(size * size)), ended_(size, false) {}

  int size() const override { return size_; }

  void send(int from, int to, Message message) override {
    const std::scoped_lock lock(mutex_);
    box(from, to).push_back(std::move(message));
    changed_.notify_all();
  }

  Message receive(int to, int from, const std::string& activity) override {
    std::unique_lock lock(mutex_);
    std::deque<Message>& messages = box(from, to);
    changed_.wait(lock, [&] { return !messages.empty() || ended_[from]; });
    if (messages.empty()) {
      throw RankLost(
          fmt::format("rank {} of {} ended; rank {} waited for it in {}", from, size_, to, activity));
    }
    Message message = std::move(messages.front());
    messages.pop_front();
    return message;
  }

  void end(int rank, const std::exception_ptr& error) override {
    const std::scoped_lock lock(mutex_);
    ended_[rank] = true;
    if (first_error_ == nullptr) first_error_ = error;
    changed_.notify_all();
  }

  void rethrow() const {
    if (first_error_ != nullptr) std::rethrow_exception(first_error_);
  }

 private:
  std::deque<Message>& box(int from, int to) { return boxes_[static_cast<std::size_t>(from * size_ + to)]; }

  int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::deque<Message>> boxes_;  // [from, to]
  std::vector<bool> ended_;
  std::exception_ptr first_error_;
};

}  // namespace

void run_ranks(int size, const std::function<void(Communicator&)>& body) {
  InstantMail mail(size);
  run_mailed(mail, body);
  mail.rethrow();
}

}  // namespace trainer
