// The list of batch rows that backward covers: those that the head has selected, or all of them if the recipe
// does not select.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/op.hpp"

namespace trainer::cpu {

class SelectedRows {
 public:
  explicit SelectedRows(int batch) : rows_(static_cast<std::size_t>(batch)) {}

  // Reads them from the arguments of an op's backward.
  void read(const OpArgs& args) {
    count_ = 0;
    for (std::size_t n = 0; n < rows_.size(); ++n) {
      rows_[count_] = static_cast<std::uint32_t>(n);
      count_ += args.selected == nullptr || args.selected[n] != 0 ? 1 : 0;
    }
  }

  std::size_t count() const { return count_; }
  std::size_t operator[](std::size_t i) const { return rows_[i]; }
  const std::uint32_t* data() const { return rows_.data(); }

  // Clears the unselected rows of dx, `row_bytes` each; valid ones only if the op before reads them.
  void clear_rest(const OpArgs& args, const MapContract& x_map, std::size_t row_bytes) const {
    if (args.selected == nullptr || args.dx == nullptr) return;
    auto* dx = static_cast<std::byte*>(args.dx);
    for (std::size_t n = x_map.selected_only ? args.state->valid : 0; n < rows_.size(); ++n) {
      if (args.selected[n] == 0) std::memset(dx + n * row_bytes, 0, row_bytes);
    }
  }

 private:
  std::vector<std::uint32_t> rows_;
  std::size_t count_ = 0;
};

}  // namespace trainer::cpu
