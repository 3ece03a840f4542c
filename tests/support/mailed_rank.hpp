// A rank whose messages a Mail carries; the kinds of Mail differ in when a message arrives and what else happens.
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "kernels/communicator.hpp"

namespace trainer {

using Message = std::vector<std::byte>;

// Messages from one rank to another arrive in the order in which they were sent. Each rank calls from a thread of its own.
class Mail {
 public:
  virtual ~Mail() = default;
  Mail(const Mail&) = delete;
  Mail& operator=(const Mail&) = delete;

  virtual int size() const = 0;
  virtual void start(int /*rank*/) {}  // before the rank's body
  virtual void begin(int /*rank*/, double /*seconds*/) {}
  virtual void send(int from, int to, Message message) = 0;
  // Throws RankLost if nothing will come; `activity` is what the rank is doing.
  virtual Message receive(int to, int from, const std::string& activity) = 0;
  virtual void end(int rank,
                   const std::exception_ptr& error) = 0;  // after the body; error: what it threw, or null

 protected:
  Mail() = default;
};

class MailedRank final : public Communicator {
 public:
  MailedRank(Mail& mail, int rank) : mail_(mail), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return mail_.size(); }
  void all_gather(void* data, const std::vector<std::size_t>& borders) override;
  void all_to_all(const void* data, const std::vector<std::size_t>& borders, void* received) override;
  void begin(const std::string& activity, double seconds) override;

 private:
  Message part(const void* data, const std::vector<std::size_t>& borders, int index) const;
  void receive(int from, std::byte* to, std::size_t bytes);

  Mail& mail_;
  int rank_;
  std::string activity_ = "the start";
};

// Calls body for each rank on a thread of its own, and returns when all have ended.
void run_mailed(Mail& mail, const std::function<void(Communicator&)>& body);

}  // namespace trainer
