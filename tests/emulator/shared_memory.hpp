// The shared memory of all kernels: the linker section of __shared__ variables. It is poisoned before each block, since
// no block may rely on what another left there. The first block of a kernel shows which part the kernel uses, so that
// the rest of the section need not be rewritten for each block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace emulator {

class SharedMemory {
 public:
  SharedMemory();
  void begin_block(const void* kernel);
  // `first` and `last`: whether the block is the first or last of its launch.
  void end_block(const void* kernel, bool first, bool last);

  // For blocks that take turns: saves the contents, and restores them.
  std::vector<std::uint32_t> keep() const;
  void bring_back(const std::vector<std::uint32_t>& kept);

 private:
  void restore_all(std::vector<std::size_t>& used);

  std::map<const void*, std::vector<std::size_t>> used_;  // by kernel: numbers of chunks, ascending
};

}  // namespace emulator
