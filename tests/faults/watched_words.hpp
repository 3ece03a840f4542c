// The memory that a watched engine gave away, as words whose bits can be flipped.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/faults/watched_backend.hpp"

namespace trainer::test {

// All of an engine's memory, its blocks one behind the other. But for download(), it must be accessible: between two kernels.
class WatchedWords {
 public:
  explicit WatchedWords(const WatchedBackend& engine) : blocks_(engine.blocks()) {
    for (const WatchedBackend::Block& block : blocks_) count_ += block.bytes / sizeof(std::uint32_t);
  }
  std::uint64_t count() const { return count_; }
  std::vector<std::uint32_t> copy() const {
    std::vector<std::uint32_t> all;
    for (const WatchedBackend::Block& block : blocks_) {
      const auto* words = reinterpret_cast<const std::uint32_t*>(block.data);
      all.insert(all.end(), words, words + block.bytes / sizeof(std::uint32_t));
    }
    return all;
  }
  std::vector<std::uint32_t> download(WatchedBackend& engine) const {
    std::vector<std::uint32_t> all(count_);
    std::uint32_t* to = all.data();
    for (const WatchedBackend::Block& block : blocks_) {
      const std::size_t words = block.bytes / sizeof(std::uint32_t);
      engine.download(to, block.data, words * sizeof(std::uint32_t));
      to += words;
    }
    return all;
  }
  // Returns what the block is for.
  std::string flip(std::uint64_t word, unsigned bit) const {
    for (const WatchedBackend::Block& block : blocks_) {
      const std::uint64_t words = block.bytes / sizeof(std::uint32_t);
      if (word < words) {
        reinterpret_cast<std::uint32_t*>(block.data)[word] ^= 1U << bit % 32;
        return block.what;
      }
      word -= words;
    }
    return "";
  }

 private:
  const std::vector<WatchedBackend::Block>& blocks_;
  std::uint64_t count_ = 0;
};

}  // namespace trainer::test
