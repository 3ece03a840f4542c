// What the portable engine's ops share: memory, conversions, and the list of rows that backward covers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/backend.hpp"
#include "kernels/bump_allocator.hpp"
#include "kernels/portable/executor.hpp"

namespace trainer::portable {

using Memory = DeviceAllocator;  // aligned for either device

inline std::uint32_t count32(std::size_t count) {
  return static_cast<std::uint32_t>(count);
}
inline const float* floats(const void* map) {
  return static_cast<const float*>(map);
}
inline float* floats(void* map) {
  return static_cast<float*>(map);
}
inline int padded(int count, int lanes) {
  return (count + lanes - 1) / lanes * lanes;
}

// An op whose workspace is laid out by lay_out(memory), the same way in both directions.
class PortableOp : public Op {
 public:
  PortableOp(Executor& executor, const OpDesc& desc, int batch) : Op(desc, batch), executor_(executor) {}
  bool reads_selected_rows() const override { return true; }

 protected:
  std::size_t rows() const { return static_cast<std::size_t>(batch()); }

  struct RowMemory {
    std::uint32_t *first, *listed;
  };
  RowMemory row_memory(Memory& memory) const {
    RowMemory at{};
    at.first = memory.take<std::uint32_t>(kShards + 1);
    at.listed = memory.take<std::uint32_t>(rows());
    return at;
  }
  Rows all_rows() const { return {.batch = count32(rows())}; }
  Rows rows_of(const OpArgs& args, const RowMemory& memory) const {
    if (args.selected == nullptr) return all_rows();
    executor_.run(ListRows{count32(rows()), args.selected, memory.first, memory.listed});
    return {count32(rows()), memory.first, memory.listed};
  }

  Executor& executor_;
};

std::unique_ptr<Op> make_conv(Executor& executor, const ConvDesc& desc, int batch);
std::unique_ptr<Op> make_dense(Executor& executor, const DenseDesc& desc, int batch);
std::unique_ptr<Op> make_head(Executor& executor, const HeadDesc& desc, int batch);
std::unique_ptr<Op> make_batchnorm(Executor& executor, const BatchNormDesc& desc, int batch);

}  // namespace trainer::portable
