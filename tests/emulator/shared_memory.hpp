// The shared memory of all kernels: the linker section that __shared__ variables lie in. A block finds it
// poisoned, since no block may count on what another left there. Which part a kernel uses is learnt from its
// first block, so that not all of the section need be written again for each.
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
  // `first`: of its launch; `last` too.
  void end_block(const void* kernel, bool first, bool last);

  // For blocks that take turns: all that lies there now, and back again.
  std::vector<std::uint32_t> keep() const;
  void bring_back(const std::vector<std::uint32_t>& kept);

 private:
  void restore_all(std::vector<std::size_t>& used);

  std::map<const void*, std::vector<std::size_t>> used_;  // by kernel: numbers of chunks, ascending
};

}  // namespace emulator
