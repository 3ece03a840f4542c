// What the reference's files share: indices in a batch of maps, and max pooling with its decisions.
#pragma once

#include <cstddef>
#include <vector>

#include "tests/reference/reference.hpp"

namespace trainer::reference {

// The flat index of [n, i, j, c] in a batch of maps of `shape`.
inline std::size_t at(const Shape& shape, int n, int i, int j, int c) {
  return ((static_cast<std::size_t>(n) * shape.h + i) * shape.w + j) * shape.c + c;
}

struct Pooled {
  Values value;                     // [batch, h', w', c]
  Values margin;                    // to the next smaller value of the window; infinity if there is none
  std::vector<std::size_t> argmax;  // flat index into the map: the first maximum, row by row
};

// map [batch, shape]
Pooled max_pool(const Values& map, int batch, const Shape& shape, const Window& window);

// values = max(values, 0); margin = min(margin, distance to 0)
void apply_relu(Values& values, Values& margin);

}  // namespace trainer::reference
