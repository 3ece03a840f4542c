// Cases of the conformance suite for products that the GPU engine computes with its own tiles: those with a batch
// normalisation after them, and small ones with bias and ReLU.
#include "tests/kernels/conformance_cases.hpp"

namespace trainer {

namespace {

NormalisedDesc conv_norm(const ConvDesc& desc, bool gelu = true) {
  BatchNormDesc norm = sprint_norm(out_shape(desc));
  norm.gelu = gelu;
  return {without_bias(desc), norm};
}

NormalisedDesc dense_norm(int in, int out) {
  return {DenseDesc{.in = in, .out = out, .bias = false}, sprint_norm({1, 1, out})};
}

DenseDesc before_head(int in, int out) {
  return {.in = in, .out = out, .relu = true, .y_map = {.masked = true}};
}

}  // namespace

std::vector<OpCase> normalised_cases() {
  const ConvDesc sprint1 = with_pool(conv({26, 26, 1}, 3, 16), 3, 3);
  const ConvDesc sprint2 = with_pool(conv({8, 8, 16}, 3, 48), 2, 2);
  return {
      {"norm_sprint_conv1", conv_norm(sprint1), 3},
      {"norm_sprint_conv1_masked", conv_norm(sprint1), 67, 50},
      {"norm_sprint_lean_conv1", conv_norm(with_pool(conv({28, 28, 1}, 3, 8), 3, 3)), 13},
      {"norm_first_same", conv_norm(same(conv({9, 8, 1}, 5, 7)), false), 5, 3},
      {"norm_first_overlaps", conv_norm(with_pool(conv({14, 12, 1}, 5, 33), 3, 2)), 9},
      {"norm_first_one_valid_row", conv_norm(with_pool(conv({11, 13, 1}, 3, 128), 2, 2)), 6, 1},
      {"norm_first_equal_maxima", conv_norm(with_pool(conv({14, 14, 1}, 3, 16), 2, 2)), 5, 0, 0,
       SampleKind::grid},
      {"norm_sprint_conv2", conv_norm(sprint2), 8},
      {"norm_sprint_conv2_masked", conv_norm(sprint2), 67, 50},
      {"norm_sprint_lean_conv2", conv_norm(with_pool(conv({8, 8, 8}, 3, 24), 2, 2)), 67},
      {"norm_conv_odd", conv_norm(conv({9, 7, 4}, 3, 12), false), 9, 6},
      {"norm_conv_pool_leaves_a_rest", conv_norm(with_pool(conv({9, 8, 8}, 4, 20), 2, 2)), 5},
      {"norm_conv_even_filter_and_pool", conv_norm(with_pool(conv({7, 5, 12}, 2, 8), 2, 2)), 4},
      {"norm_conv_one_by_one", conv_norm(conv({5, 7, 8}, 1, 36)), 7, 5},
      {"norm_conv_odd_67", conv_norm(conv({9, 7, 4}, 3, 12), false), 67, 66},
      {"norm_conv_pool_leaves_a_rest_65", conv_norm(with_pool(conv({9, 8, 8}, 4, 20), 2, 2)), 65},
      {"norm_conv_border", conv_norm(same(conv({7, 5, 4}, 3, 12)), false), 9, 6},
      {"norm_conv_300_images", conv_norm(conv({2, 2, 4}, 2, 8)), 300, 299},
      {"norm_conv_equal_maxima", conv_norm(with_pool(conv({8, 8, 8}, 3, 8), 2, 2)), 5, 0, 0,
       SampleKind::grid},
      {"norm_conv_3_channels", conv_norm(conv({7, 5, 3}, 3, 4)), 4},
      {"norm_conv_stride_2", conv_norm(with_stride(conv({7, 5, 4}, 3, 4), 2)), 4},
      {"norm_sprint_dense", dense_norm(432, 256), 40},
      {"norm_sprint_lean_dense", dense_norm(216, 64), 67, 50},
      {"norm_dense_odd", dense_norm(36, 20), 9, 7},
      {"norm_dense_many_channels", dense_norm(16, 1024), 5},
  };
}

std::vector<OpCase> small_products() {
  const ConvDesc rest = with_relu(with_pool(conv({9, 8, 8}, 4, 20), 2, 2));
  const ConvDesc odd = conv({9, 7, 4}, 3, 12);
  return {
      {"small_conv_odd", odd, 9, 6},
      {"small_conv_odd_67", odd, 67, 66},
      {"small_conv_odd_no_bias", without_bias(odd), 5},
      {"small_conv_one_by_one", conv({5, 7, 8}, 1, 32), 7, 5},
      {"small_conv_300_images", conv({2, 2, 4}, 2, 8), 300, 299},
      {"small_conv_pool_leaves_a_rest", rest, 5},
      {"small_conv_pool_leaves_a_rest_65", rest, 65, 60},
      {"small_conv_pool_no_bias", without_bias(rest), 65},
      {"small_conv_pool_without_relu", with_pool(conv({7, 5, 12}, 2, 8), 2, 2), 4, 3},
      {"small_conv_most_terms", with_relu(with_pool(conv({8, 8, 64}, 4, 32), 2, 2)), 3},
      {"small_conv_equal_maxima", with_relu(with_pool(conv({8, 8, 8}, 3, 8), 2, 2)), 5, 0, 0,
       SampleKind::grid},
      {"small_conv_equal_maxima_67", with_pool(conv({6, 6, 8}, 3, 8), 2, 2), 67, 0, 0, SampleKind::grid},
      {"small_dense_quick", before_head(800, 256), 16},
      {"small_dense_quick_masked", before_head(800, 256), 67, 50},
      {"small_dense_odd", before_head(36, 20), 9, 7, 0.8},
      {"small_dense_one_image", dense(4, 4), 1},
      {"small_dense_no_relu", dense(64, 36), 33, 31},
      {"small_dense_no_bias",
       DenseDesc{.in = 100, .out = 44, .bias = false, .relu = true, .y_map = {.masked = true}}, 16, 0, 0.8},
      {"small_dense_1024_rows", before_head(20, 8), 1024, 1000, 0.8},
  };
}

}  // namespace trainer
