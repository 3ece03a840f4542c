// A convolution or dense layer and the batch normalisation after it: runs the two ops of the reference in sequence.
#include <algorithm>

#include "tests/reference/reference.hpp"

namespace trainer::reference {

namespace {

// The inputs of the first op, and of the second one after it.
Tensors product_tensors(const Tensors& t) {
  Tensors product = t;
  product.parameters = {t.parameters.front()};
  return product;
}

Tensors norm_tensors(const Tensors& t, const Values& z) {
  Tensors norm = t;
  norm.x = z;
  norm.parameters.erase(norm.parameters.begin());
  return norm;
}

}  // namespace

void run_forward(const NormalisedDesc& desc, Tensors& t) {
  Tensors product = product_tensors(t);
  forward(product_of(desc), product);
  Tensors norm = norm_tensors(t, product.y);
  forward(desc.norm, norm);
  t.y = norm.y;
  t.margin = product.margin;
  std::copy(norm.parameters.begin(), norm.parameters.end(), t.parameters.begin() + 1);
}

void run_backward(const NormalisedDesc& desc, Tensors& t) {
  Tensors product = product_tensors(t);
  forward(product_of(desc), product);
  Tensors norm = norm_tensors(t, product.y);
  backward(desc.norm, norm);
  product.dy = norm.dx;
  backward(product_of(desc), product);
  t.dx = product.dx;
  t.gradients = {product.gradients.front(), norm.gradients.back()};
}

}  // namespace trainer::reference
