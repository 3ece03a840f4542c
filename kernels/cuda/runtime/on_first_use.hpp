// A library that is opened by the first op that needs it: a network without such an op leaves it closed, with
// its code unloaded and its memory free.
//   OnFirstUse<Products> products{[stream] { return open_products(stream); }};
//   products->make(shape);  // opens it, or throws what opening threw
#pragma once

#include <functional>
#include <memory>
#include <utility>

namespace trainer::cuda {

template <typename Library>
class OnFirstUse {
 public:
  explicit OnFirstUse(std::function<std::unique_ptr<Library>()> open) : open_(std::move(open)) {}

  bool is_open() const { return library_ != nullptr; }
  int uses() const { return uses_; }
  Library* operator->() const {
    ++uses_;
    if (!library_) library_ = open_();
    return library_.get();
  }

 private:
  std::function<std::unique_ptr<Library>()> open_;
  mutable std::unique_ptr<Library> library_;
  mutable int uses_ = 0;
};

}  // namespace trainer::cuda
