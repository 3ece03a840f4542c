// What the portable engine's ops share: memory, conversions, and the rows that backward covers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/backend.hpp"
#include "kernels/bump_allocator.hpp"
#include "kernels/portable/executor.hpp"

namespace trainer::portable {

inline const float* floats(const void* map) {
  return static_cast<const float*>(map);
}
inline float* floats(void* map) {
  return static_cast<float*>(map);
}

inline std::uint8_t* argmax_of(const OpArgs& args) {
  return reinterpret_cast<std::uint8_t*>(args.saved);
}
// Throws BackendError if positions in the window do not fit window_position().
void require_byte(const OpDesc& desc, const Window& window);

class PortableOp : public Op {
 public:
  PortableOp(Executor& executor, const OpDesc& desc, int batch) : Op(desc, batch), executor_(executor) {}
  bool reads_selected_rows() const override { return true; }
  std::size_t workspace_bytes() const override { return workspace_bytes_; }

 protected:
  // Reserves `count` floats of the workspace, and a vector's to spare (lanes.hpp); scratch() is where they are.
  std::size_t reserve(std::size_t count) {
    const std::size_t begin = workspace_bytes_;
    workspace_bytes_ += DeviceAllocator::aligned((count + kMostLanes) * sizeof(float));
    return begin;
  }
  static float* scratch(const OpArgs& args, std::size_t reserved) {
    return reinterpret_cast<float*>(args.workspace + reserved);
  }
  int ranks() const { return executor_.part.ranks == nullptr ? 1 : executor_.part.ranks->size(); }
  std::size_t rows() const { return static_cast<std::size_t>(batch()); }

  // The selected rows of this rank; and those with an image, if the state is given.
  Rows rows_of(const std::uint8_t* selected, const StepState* state = nullptr) const {
    const RankPart& part = executor_.part;
    return {batch(), selected, state, part.ranks == nullptr ? 0 : part.batch, part.first};
  }
  Rows rows_of(const OpArgs& args) const { return rows_of(args.selected); }

  Executor& executor_;

 private:
  std::size_t workspace_bytes_ = 0;
};

// The op of each description, defined beside its like.
#define TRAINER_PORTABLE_OP(Name) \
  std::unique_ptr<Op> make(Executor& executor, const Name##Desc& desc, int batch);
TRAINER_OPS(TRAINER_PORTABLE_OP)
#undef TRAINER_PORTABLE_OP

}  // namespace trainer::portable
