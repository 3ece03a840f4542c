// The table that the conformance suite runs: every op in the shapes of the shipped networks, and deliberately odd
// sizes, which exercise a kernel's edge cases.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "kernels/op.hpp"
#include "tests/kernels/samples.hpp"

namespace trainer {

struct OpCase {
  std::string name;
  OpDesc desc;
  int batch = 3;
  int valid = 0;  // rows that hold an image; 0: all
  double zeros =
      0;  // fraction of zeros that this shape causes in every reference tensor; 0: the op's default
  SampleKind kind = SampleKind::smooth;
};

void PrintTo(const OpCase& c, std::ostream* out);  // GoogleTest looks it up

// Convolutions in words: with_pool(same(conv({28, 28, 1}, 5, 32)), 3, 2).
ConvDesc conv(const Shape& in, int kernel, int out);  // stride 1, valid, bias
ConvDesc same(ConvDesc desc);                         // padded to keep h and w
ConvDesc with_relu(ConvDesc desc);
ConvDesc with_pool(ConvDesc desc, int size, int stride);
ConvDesc with_stride(ConvDesc desc, int stride);
ConvDesc with_border(ConvDesc desc, const Border& pad);
ConvDesc without_bias(ConvDesc desc);
DenseDesc dense(int in, int out);
DenseDesc with_relu(DenseDesc desc);
BatchNormDesc sprint_norm(const Shape& in);  // no gamma, with GELU

std::vector<OpCase> network_cases();     // the layers of the shipped networks
std::vector<OpCase> sprint_cases();      // those of the sprint networks, and related ones
std::vector<OpCase> normalised_cases();  // products with the batch normalisation after them
std::vector<OpCase> small_products();    // products that the GPU engine makes with tiles of its own
std::vector<OpCase> conv_cases();        // odd convolutions
std::vector<OpCase> element_cases();     // odd sizes of the ops that take one element at a time
std::vector<OpCase> plain_cases();       // odd sizes of every other op

// The convolutions of a first layer, for channels from 1 to 64.
struct FirstLayer {
  int kernel = 3;
  bool same = false;
  Window pool;
};
void PrintTo(const FirstLayer& layer, std::ostream* out);
std::vector<FirstLayer> first_layers();
std::vector<OpCase> first_layer_cases(const FirstLayer& layer);

}  // namespace trainer
