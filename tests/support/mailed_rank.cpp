#include "tests/support/mailed_rank.hpp"

#include <cstring>
#include <fmt/format.h>
#include <thread>

namespace trainer {

void MailedRank::all_gather(void* data, const std::vector<std::size_t>& borders) {
  for (int to = 0; to < size(); ++to) mail_.send(rank_, to, part(data, borders, rank_));
  for (int from = 0; from < size(); ++from) {
    receive(from, static_cast<std::byte*>(data) + borders[from], borders[from + 1] - borders[from]);
  }
}

void MailedRank::all_to_all(const void* data, const std::vector<std::size_t>& borders, void* received) {
  for (int to = 0; to < size(); ++to) mail_.send(rank_, to, part(data, borders, to));
  const std::size_t bytes = borders[rank_ + 1] - borders[rank_];
  for (int from = 0; from < size(); ++from) {
    receive(from, static_cast<std::byte*>(received) + static_cast<std::size_t>(from) * bytes, bytes);
  }
}

void MailedRank::begin(const std::string& activity, double seconds) {
  activity_ = activity;
  mail_.begin(rank_, seconds);
}

Message MailedRank::part(const void* data, const std::vector<std::size_t>& borders, int index) const {
  if (borders.size() != static_cast<std::size_t>(size()) + 1) {
    throw std::logic_error(fmt::format("{} borders for {} ranks", borders.size(), size()));
  }
  const auto* bytes = static_cast<const std::byte*>(data);
  return {bytes + borders[index], bytes + borders[index + 1]};
}

void MailedRank::receive(int from, std::byte* to, std::size_t bytes) {
  const Message message = mail_.receive(rank_, from, activity_);
  if (message.size() != bytes) {
    throw std::logic_error(fmt::format("rank {} sent {} bytes in {} where rank {} expects {}", from,
                                       message.size(), activity_, rank_, bytes));
  }
  if (bytes > 0) std::memcpy(to, message.data(), bytes);
}

void run_mailed(Mail& mail, const std::function<void(Communicator&)>& body) {
  std::vector<std::thread> threads;
  for (int rank = 0; rank < mail.size(); ++rank) {
    threads.emplace_back([&mail, &body, rank] {
      mail.start(rank);
      std::exception_ptr error;
      try {
        MailedRank communicator(mail, rank);
        body(communicator);
      } catch (...) {
        error = std::current_exception();
      }
      mail.end(rank, error);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace trainer
