// A block of a backend's memory, owned. Buffers hold whole arenas (parameters, gradients, optimiser state,
// activations), never single tensors, so there are few of them and all are gone before their backend.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace trainer {

class Buffer {
 public:
  using Release = std::function<void(std::byte*)>;

  Buffer() = default;
  Buffer(std::byte* data, std::size_t bytes, Release release)
      : data_(data, std::move(release)), bytes_(bytes) {}

  std::size_t bytes() const { return bytes_; }
  std::byte* data() const { return data_.get(); }
  float* floats() const { return reinterpret_cast<float*>(data_.get()); }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  std::unique_ptr<std::byte, Release> data_{nullptr, [](std::byte*) {}};
  std::size_t bytes_ = 0;
};

}  // namespace trainer
