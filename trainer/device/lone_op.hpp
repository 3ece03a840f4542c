// An op alone, with memory of its own, run again and again: how a device's limits are measured through what
// training calls.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "kernels/backend.hpp"

namespace trainer {

class Microbenchmark {
 public:
  Microbenchmark(Backend& backend, const OpDesc& desc, int batch);

  // Numbers from -1 to 1 for zeros, in input and weights: a device that computes with zeros draws less power
  // and keeps clocks that it does not keep in training.
  void fill();
  void forward();            // launched; Backend::wait() waits for it
  double forward_seconds();  // of the fastest in about 0.3 seconds, each waited for

 private:
  void fill(Buffer& buffer, std::size_t count, bool of_element);

  Backend& backend_;
  OpDesc desc_;
  int batch_;
  std::unique_ptr<Op> op_;
  Buffer x_, y_, cast_w_, saved_, workspace_, state_;
  std::vector<Buffer> parameters_;
};

// Of the fastest `round` in about `seconds`. The first one, which touches the memory for the first time, is
// left out.
double fastest_seconds(Backend& backend, double seconds, const std::function<void()>& round);

}  // namespace trainer
