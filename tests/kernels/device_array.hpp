// Backend memory for tests: an array between two guard bands, poisoned until something is written. A poisoned float is
// a NaN, so what an op forgot to write shows up in every sum. So are the bands, for what it reads past its array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "kernels/backend.hpp"

namespace trainer {

class DeviceArray {
 public:
  DeviceArray(Backend& backend, std::size_t bytes, std::string_view what)
      : backend_(&backend), bytes_(bytes), buffer_(backend.allocate(bytes + 2 * kGuard, what)) {
    std::vector<std::uint8_t> guards(bytes + 2 * kGuard);
    for (std::size_t i = 0; i < guards.size(); ++i) guards[i] = guard_byte(i);
    backend.upload(buffer_.data(), guards.data(), guards.size());
    poison();
  }

  template <typename T>
  DeviceArray(Backend& backend, const std::vector<T>& values, std::string_view what)
      : DeviceArray(backend, values.size() * sizeof(T), what) {
    upload(values);
  }

  std::size_t bytes() const { return bytes_; }

  // Null for an empty array, as an op gets that needs no memory.
  template <typename T>
  T* as() const {
    return bytes_ == 0 ? nullptr : reinterpret_cast<T*>(buffer_.data() + kGuard);
  }

  void poison() { upload(std::vector<std::uint8_t>(bytes_, 0xFF)); }

  template <typename T>
  void upload(const std::vector<T>& values) {
    if (bytes_ > 0) backend_->upload(buffer_.data() + kGuard, values.data(), bytes_);
  }

  template <typename T>
  std::vector<T> download() const {
    std::vector<T> values(bytes_ / sizeof(T));
    if (bytes_ > 0) backend_->download(values.data(), buffer_.data() + kGuard, bytes_);
    return values;
  }

  // Whether the bands on both sides are unchanged.
  bool guards_whole() const {
    std::vector<std::uint8_t> all(bytes_ + 2 * kGuard);
    backend_->download(all.data(), buffer_.data(), all.size());
    for (std::size_t i = 0; i < kGuard; ++i)
      if (all[i] != guard_byte(i) || all[kGuard + bytes_ + i] != guard_byte(kGuard + bytes_ + i))
        return false;
    return true;
  }

 private:
  static constexpr std::size_t kGuard = 1024;
  static std::uint8_t guard_byte(std::size_t at) {
    return at % 2 == 0 ? 0xF5 : 0x7F;
  }  // a NaN in every format

  Backend* backend_;
  std::size_t bytes_;
  Buffer buffer_;
};

}  // namespace trainer
