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
// An op that knows nothing of its neighbours finds and leaves the plain form: elements of type Backend::element(), the
// whole gradient, every row of the batch written and read. Each field below departs from it where that saves a pass over
// the map. Both sides are told the same: the description of the op holds the contract as `y_map`, that of the next op as
// `x_map`. lower() (models/lower.hpp) settles it before anything is prepared.
//
// masked. The map comes out of a ReLU, so its gradient counts only where the map is above 0. In the plain form the op
// that has the ReLU reads its own y and zeroes ("masks") dy. Here the next op has done it: it reads x anyway while it
// writes dx, and the op uses dy as it is. So the head masks for the dense layer before it.
//
// bf16. Map and gradient are stored as bf16 although Backend::element() is fp32, where both sides would round what they
// read to bf16 anyway (Backend::keeps_map_in_bf16()). Such a map is masked too.
//
// selected_rows, selected_only. A recipe with `keep` backpropagates only the images of a batch with the largest loss
// (kernels/math/selection.hpp). All rows go forward; the head selects and writes OpArgs::selected, one byte a row. From
// the head down the gradient of all other rows is zero. What the op finds in dy:
//
//     row   image   selected   plain form   selected_only
//      0     yes       1        gradient      gradient
//      1     yes       0        zeros         anything
//      2     yes       1        gradient      gradient
//      3      no       0        zeros         zeros          (beyond StepState::valid)
//
// An op that goes over the selected rows alone says so by Op::reads_selected_rows(). The next op is then told
// `selected_only` and need not clear the rows of dx that nobody reads. Every other op finds zeros, and is right without
// knowing that rows are selected. The count lets an op prepare products of just so many rows.
#pragma once

namespace trainer {

struct MapContract {
  bool masked = false;         // the gradient is 0 where the map is not above 0
  bool bf16 = false;           // map and gradient are stored as bf16
  int selected_rows = 0;       // of a full batch, once the recipe selects; 0: it never does
  bool selected_only = false;  // of the rows with an image, only the selected ones have a gradient to read
};

}  // namespace trainer
