// The contract between two neighbouring ops about the map between them. Forward, an op writes the map as its y and the
// next op reads it as its x; backward, the next op writes the map's gradient as its dx and the op reads it as its dy:
//
//                +------+    y  =  x    +---------+
//     forward    |      | ------------> |         |
//                |  op  |    the map    | next op | ...
//     backward   |      | <------------ |         |
//                +------+    dy = dx    +---------+
//                 y_map                    x_map
//
// An op that knows nothing of its neighbours reads and writes the plain form: elements of type Backend::element(), the
// whole gradient, every row of the batch. Each field below departs from that form where this saves a pass over the map.
// Both sides hold the same contract: the description of the op as `y_map`, that of the next op as `x_map`. lower()
// (models/lower.hpp) decides it before anything is prepared.
//
// masked. The map is the output of a ReLU, so its gradient is zero wherever the map is not above 0. In the plain form
// the op with the ReLU reads its own y and zeroes ("masks") dy. With `masked`, the next op does so while it writes dx,
// because it reads x anyway, and the op uses dy unchanged. The head masks for the dense layer before it in this way.
//
// bf16. Map and gradient are stored as bf16 although Backend::element() is fp32, because both sides would round what
// they read to bf16 anyway (Backend::keeps_map_in_bf16()). Such a map is masked too.
//
// selected_rows, selected_only. A recipe with `keep` backpropagates only the images of a batch with the largest loss
// (kernels/math/selection.hpp). Forward computes all rows; the head selects some and writes OpArgs::selected, one byte
// per row. In backward the gradient of all other rows is zero. What the op finds in dy:
//
//     row   image   selected   plain form   selected_only
//      0     yes       1        gradient      gradient
//      1     yes       0        zeros         anything
//      2     yes       1        gradient      gradient
//      3      no       0        zeros         zeros          (beyond StepState::valid)
//
// An op that reads only the selected rows says so by Op::reads_selected_rows(). The next op then gets `selected_only`
// and need not clear the rows of dx that nobody reads. Every other op finds zeros, and is correct without knowing that
// rows are selected. The count `selected_rows` lets an op prepare products of exactly so many rows.
#pragma once

namespace trainer {

struct MapContract {
  bool masked = false;         // the gradient is 0 where the map is not above 0
  bool bf16 = false;           // map and gradient are stored as bf16
  int selected_rows = 0;       // their number in a full batch, once the recipe selects; 0: it never selects
  bool selected_only = false;  // among the rows with an image, only the selected ones have a valid gradient
};

}  // namespace trainer
