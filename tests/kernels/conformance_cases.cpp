#include "tests/kernels/conformance_cases.hpp"

#include <fmt/format.h>

namespace trainer {

void PrintTo(const OpCase& c, std::ostream* out) {
  *out << describe(c.desc) << ", batch " << c.batch;
}

void PrintTo(const FirstLayer& layer, std::ostream* out) {
  *out << layer.kernel << "x" << layer.kernel << " on one channel";
}

ConvDesc conv(const Shape& in, int kernel, int out) {
  ConvDesc desc;
  desc.in = in;
  desc.kernel = kernel;
  desc.out = out;
  return desc;
}

ConvDesc same(ConvDesc desc) {
  const int before = (desc.kernel - 1) / 2;
  const int after = desc.kernel / 2;
  desc.pad = {before, after, before, after};
  return desc;
}

ConvDesc with_relu(ConvDesc desc) {
  desc.relu = true;
  return desc;
}

ConvDesc with_pool(ConvDesc desc, int size, int stride) {
  desc.pool = {size, stride};
  return desc;
}

DenseDesc dense(int in, int out) {
  return {.in = in, .out = out};
}

DenseDesc with_relu(DenseDesc desc) {
  desc.relu = true;
  return desc;
}

ConvDesc with_stride(ConvDesc desc, int stride) {
  desc.stride = stride;
  return desc;
}

ConvDesc with_border(ConvDesc desc, const Border& pad) {
  desc.pad = pad;
  return desc;
}

ConvDesc without_bias(ConvDesc desc) {
  desc.bias = false;
  return desc;
}

BatchNormDesc sprint_norm(const Shape& in) {
  return {.in = in, .momentum = 0.3F, .gamma = false, .gelu = true};
}

std::vector<OpCase> network_cases() {
  const Shape digit{28, 28, 1};
  const ConvDesc quick1 = with_relu(with_pool(conv(digit, 5, 24), 2, 2));
  const ConvDesc quick2 = with_relu(with_pool(conv({12, 12, 24}, 3, 32), 2, 2));
  const ConvDesc lenet1 = with_pool(conv(digit, 5, 20), 2, 2);
  const ConvDesc lenet2 = with_pool(conv({12, 12, 20}, 5, 50), 2, 2);
  const ConvDesc tf1 = with_relu(with_pool(same(conv(digit, 5, 32)), 2, 2));
  const ConvDesc tf2 = with_relu(with_pool(same(conv({14, 14, 32}, 5, 64)), 2, 2));
  const ConvDesc cntk1 = with_relu(with_pool(same(conv(digit, 5, 32)), 3, 2));
  const ConvDesc cntk2 = with_relu(with_pool(conv({13, 13, 32}, 3, 48), 3, 2));
  const ConvDesc cntk3 = with_relu(conv({5, 5, 48}, 3, 64));
  const ConvDesc pytorch1 = with_relu(conv(digit, 3, 32));
  const ConvDesc pytorch2 = with_relu(with_pool(conv({26, 26, 32}, 3, 64), 2, 2));
  return {
      {"quick_conv1", quick1},
      {"quick_conv1_sliced", quick1, 67},
      {"quick_conv1_masked", quick1, 64, 41},
      {"quick_conv2", quick2},
      {"quick_conv2_sliced", quick2, 67},
      {"quick_conv2_batch_256", quick2, 256, 96},
      {"quick_dense", with_relu(dense(800, 256)), 16},
      {"large_dense_of_uneven_shards", with_relu(dense(300, 300)), 260},
      {"quick_head", HeadDesc{.in = 256, .classes = 10}, 67, 60},
      {"lenet_conv1", lenet1},
      {"lenet_conv2", lenet2},
      {"lenet_conv2_sliced", lenet2, 64},
      {"lenet_dense", with_relu(dense(800, 500)), 16},
      {"lenet_head", HeadDesc{.in = 500, .classes = 10}, 64},
      {"tf_conv1", tf1},
      {"tf_conv1_sliced", tf1, 67},
      {"tf_conv2", tf2},
      {"tf_dense", with_relu(dense(3136, 1024)), 8},
      {"tf_dropout", DropoutDesc{{1, 1, 1024}, 0.25F, 0}, 128},
      {"tf_head", HeadDesc{.in = 1024, .classes = 10}, 128},
      {"tf_convolutional_dense", with_relu(dense(3136, 512)), 8},
      {"cntk_dense1", with_relu(dense(784, 400)), 64},
      {"cntk_dense2", with_relu(dense(400, 400)), 64},
      {"cntk_convnet_conv1", cntk1},
      {"cntk_convnet_conv1_sliced", cntk1, 67},
      {"cntk_convnet_conv2", cntk2},
      {"cntk_convnet_conv2_sliced", cntk2, 33},
      {"cntk_convnet_conv3", cntk3},
      {"cntk_convnet_conv3_sliced", cntk3, 67},
      {"cntk_convnet_dense", with_relu(dense(576, 96)), 128, 96},
      {"cntk_convnet_dropout", DropoutDesc{{1, 1, 96}, 0.5F, 0}, 128},
      {"pytorch_conv1", pytorch1},
      {"pytorch_conv1_sliced", pytorch1, 67},
      {"pytorch_conv2", pytorch2},
      {"pytorch_conv2_sliced", pytorch2, 17},
      {"pytorch_dropout", DropoutDesc{{12, 12, 64}, 0.25F, 0}},
      {"pytorch_dense", with_relu(dense(9216, 128)), 8},
  };
}

std::vector<OpCase> sprint_cases() {
  const Shape digit{28, 28, 1};
  return {
      {"batchnorm_300_channels", BatchNormDesc{.in = {2, 1, 300}, .gelu = true}, 9},
      {"batchnorm_gelu", BatchNormDesc{.in = {5, 5, 17}, .gelu = true}, 9, 6},
      {"batchnorm_no_gain", BatchNormDesc{.in = {5, 5, 17}, .gamma = false}, 9, 6},
      {"sprint_conv1", without_bias(with_pool(conv({26, 26, 1}, 3, 16), 3, 3))},
      {"sprint_conv2", without_bias(with_pool(conv({8, 8, 16}, 3, 48), 2, 2)), 67},
      {"sprint_norm1", sprint_norm({8, 8, 16}), 67},
      {"sprint_norm2", sprint_norm({3, 3, 48}), 67, 50},
      {"sprint_norm3", sprint_norm({1, 1, 256}), 128},
      {"sprint_dense", DenseDesc{.in = 432, .out = 256, .bias = false}, 16},
      {"sprint_head", HeadDesc{.in = 256, .classes = 10, .logit_scale = 0.3F, .label_smoothing = 0.12F}, 64},
      {"sprint_lean_conv1", without_bias(with_pool(conv(digit, 3, 8), 3, 3)), 67},
      {"sprint_lean_conv2", without_bias(with_pool(conv({8, 8, 8}, 3, 24), 2, 2)), 67},
      {"conv_8_channels_to_32", without_bias(with_pool(conv({8, 8, 8}, 3, 32), 2, 2)), 67},
      {"sprint_lean_norm1", sprint_norm({8, 8, 8}), 67},
      {"sprint_lean_dense", DenseDesc{.in = 216, .out = 64, .bias = false}, 16},
      {"sprint_lean_head", HeadDesc{.in = 64, .classes = 10, .logit_scale = 0.5F, .label_smoothing = 0.2F},
       64, 47},
      {"few_channels_odd", with_relu(with_pool(conv({9, 8, 8}, 3, 20), 2, 2)), 5},
      {"few_channels_one_window", without_bias(with_pool(conv({4, 4, 16}, 3, 5), 2, 2)), 3},
      {"few_channels_masked", with_relu(with_pool(conv({8, 13, 16}, 3, 48), 2, 2)), 7, 4},
      {"equal_maxima_few_channels", with_relu(with_pool(conv({14, 12, 8}, 3, 16), 2, 2)), 5, 0, 0,
       SampleKind::grid},
  };
}

std::vector<OpCase> conv_cases() {
  return {
      {"one_pixel", conv({1, 1, 1}, 1, 1), 1},
      {"one_image_rows_and_columns", conv({7, 5, 3}, 3, 5), 1},
      {"one_by_one", with_relu(conv({7, 5, 3}, 1, 8)), 3, 0, 0.7},
      {"whole_map", conv({4, 4, 8}, 4, 16)},
      {"two_by_two", conv({7, 5, 3}, 2, 4)},
      {"seven_by_seven", same(conv({9, 8, 3}, 7, 4))},
      {"stride_2", with_stride(same(conv({7, 5, 3}, 3, 5)), 2)},
      {"stride_2_one_by_one", with_stride(conv({7, 6, 3}, 1, 5), 2), 3, 0, 0.8},
      {"stride_2_one_channel", with_relu(with_stride(same(conv({28, 28, 1}, 5, 8)), 2))},
      {"stride_3_leaves_a_rest", with_stride(conv({11, 9, 2}, 3, 6), 3), 3, 0, 0.5},
      {"border_on_one_side", with_border(conv({7, 5, 3}, 3, 4), {0, 2, 1, 0})},
      {"border_on_one_side_one_channel", with_border(conv({7, 5, 1}, 3, 4), {2, 0, 0, 1})},
      {"border_even_filter", with_relu(same(conv({7, 5, 3}, 4, 4)))},
      {"border_wider_than_filter", with_border(conv({5, 5, 2}, 3, 4), {3, 3, 3, 3})},
      {"no_bias", without_bias(conv({7, 5, 3}, 3, 4))},
      {"odd_windows_one_channel", with_relu(with_pool(conv({13, 15, 1}, 5, 31), 2, 2)), 3},
      {"no_bias_one_channel", without_bias(with_relu(with_pool(conv({12, 12, 1}, 5, 8), 2, 2)))},
      {"no_bias_relu_pool", without_bias(with_relu(with_pool(conv({9, 9, 3}, 3, 8), 2, 2)))},
      {"pool_without_relu", with_pool(conv({10, 9, 3}, 3, 5), 2, 2)},
      {"pool_leaves_a_rest", with_relu(with_pool(conv({9, 9, 3}, 3, 5), 2, 2))},
      {"pool_overlaps", with_relu(with_pool(conv({11, 10, 3}, 3, 5), 3, 2))},
      {"pool_overlaps_by_two", with_relu(with_pool(conv({8, 9, 3}, 3, 5), 3, 1))},
      {"pool_skips_rows", with_relu(with_pool(conv({12, 12, 3}, 3, 5), 2, 3)), 3, 0, 0.4},
      {"pool_whole_map", with_relu(with_pool(conv({6, 6, 8}, 3, 16), 4, 4))},
      {"pool_of_strided", with_relu(with_pool(with_stride(conv({15, 13, 3}, 3, 5), 2), 2, 2))},
      {"channels_3_to_3", with_relu(with_pool(same(conv({8, 8, 3}, 3, 3)), 2, 2)), 5},
      {"channels_8_to_16", with_relu(with_pool(same(conv({8, 8, 8}, 3, 16)), 2, 2)), 5},
      {"channels_17_to_33", with_relu(same(conv({6, 7, 17}, 3, 33)))},
      {"channels_24_to_20", with_relu(with_pool(conv({9, 8, 24}, 3, 20), 2, 2)), 2},
      {"channels_48_to_64", with_relu(conv({6, 5, 48}, 3, 64)), 2},
      {"three_channel_picture", with_relu(with_pool(same(conv({32, 32, 3}, 5, 32)), 2, 2)), 2},
      {"masked_rows", with_relu(with_pool(conv({9, 8, 3}, 3, 8), 2, 2)), 7, 4},
      {"one_valid_row", with_relu(conv({9, 8, 2}, 3, 8)), 5, 1},
      {"equal_maxima", with_pool(conv({12, 11, 3}, 3, 8), 2, 2), 5, 0, 0, SampleKind::grid},
      {"equal_maxima_relu_overlap", with_relu(with_pool(same(conv({13, 13, 4}, 3, 16)), 3, 2)), 5, 0, 0,
       SampleKind::grid},
      {"equal_maxima_one_channel", with_relu(with_pool(conv({14, 14, 1}, 3, 16), 2, 2)), 5, 0, 0,
       SampleKind::grid},
      {"equal_maxima_one_channel_overlap", with_relu(with_pool(same(conv({14, 14, 1}, 3, 16)), 3, 2)), 5, 0,
       0, SampleKind::grid},
  };
}

std::vector<OpCase> plain_cases() {
  const Shape odd{7, 5, 3};
  return {
      {"dense_1_to_1", dense(1, 1), 1},
      {"dense_1_to_5", dense(1, 5)},
      {"dense_7_to_1", dense(7, 1)},
      {"dense_one_image", with_relu(dense(33, 17)), 1, 0, 0.8},
      {"dense_17_to_33", with_relu(dense(17, 33)), 13},
      {"dense_1024_to_1024", with_relu(dense(1024, 1024)), 6},
      {"dense_no_bias", DenseDesc{.in = 100, .out = 47, .bias = false, .relu = true}, 16},
      {"dense_no_relu_masked", dense(64, 48), 9, 5},
      {"dense_sliced", with_relu(dense(65, 31)), 259},
      {"head_2_classes", HeadDesc{.in = 7, .classes = 2}, 5},
      {"head_one_image", HeadDesc{.in = 16, .classes = 10}, 1},
      {"head_47_classes", HeadDesc{.in = 33, .classes = 47}, 9},
      {"head_9300_inputs", HeadDesc{.in = 9300, .classes = 3}, 70},  // more strips of dw than tickets
      {"head_256_classes", HeadDesc{.in = 64, .classes = 256}, 67},
      {"head_masked", HeadDesc{.in = 20, .classes = 10}, 64, 17},
      {"head_one_valid_row", HeadDesc{.in = 20, .classes = 10}, 8, 1},
      {"head_no_bias", HeadDesc{.in = 20, .classes = 10, .bias = false}, 6},
      {"head_behind_relu", HeadDesc{.in = 33, .classes = 10, .x_map = {.masked = true}}, 17, 12, 0.8},
      {"dense_before_head", DenseDesc{.in = 33, .out = 17, .relu = true, .y_map = {.masked = true}}, 9, 0,
       0.8},
      {"dense_before_head_no_bias",
       DenseDesc{.in = 33, .out = 17, .bias = false, .relu = true, .y_map = {.masked = true}}, 9, 0, 0.8},
      {"head_smoothed", HeadDesc{.in = 33, .classes = 47, .label_smoothing = 0.9F}, 9, 7},
      {"head_scaled_behind_relu",
       HeadDesc{
           .in = 33, .classes = 10, .x_map = {.masked = true}, .logit_scale = 3, .label_smoothing = 0.1F},
       17, 12, 0.8},
      {"head_1_input", HeadDesc{.in = 1, .classes = 3}, 4},
      {"head_batch_512", HeadDesc{.in = 96, .classes = 10}, 512},
      {"maxpool_2", MaxPoolDesc{odd, {2, 2}}},
      {"maxpool_3_stride_2", MaxPoolDesc{{13, 11, 20}, {3, 2}}},
      {"maxpool_3_stride_1", MaxPoolDesc{{7, 8, 5}, {3, 1}}},
      {"maxpool_whole_map", MaxPoolDesc{{4, 4, 16}, {4, 4}}, 3, 0, 0.95},
      {"maxpool_size_1", MaxPoolDesc{odd, {1, 1}}},
      {"maxpool_one_image", MaxPoolDesc{{28, 28, 1}, {2, 2}}, 1},
      {"maxpool_masked", MaxPoolDesc{{8, 8, 24}, {2, 2}}, 5, 3},
      {"maxpool_equal_maxima", MaxPoolDesc{{13, 12, 9}, {3, 2}}, 5, 0, 0, SampleKind::grid},
      {"avgpool_2", AvgPoolDesc{odd, {2, 2}}},
      {"avgpool_3_stride_2", AvgPoolDesc{{13, 11, 20}, {3, 2}}},
      {"avgpool_whole_map", AvgPoolDesc{{7, 7, 33}, {7, 7}}},
      {"avgpool_masked", AvgPoolDesc{{8, 8, 24}, {2, 2}}, 5, 3},
      {"batchnorm_odd", BatchNormDesc{.in = odd}},
      {"batchnorm_one_image", BatchNormDesc{.in = odd}, 1},
      {"batchnorm_vector", BatchNormDesc{.in = {1, 1, 100}}, 32},
      {"batchnorm_one_channel", BatchNormDesc{.in = {28, 28, 1}}, 5},
      {"batchnorm_24_channels", BatchNormDesc{.in = {12, 12, 24}, .epsilon = 1e-3F, .momentum = 0.01F}, 16},
      {"batchnorm_masked", BatchNormDesc{.in = {5, 5, 17}}, 9, 6},
      {"batchnorm_batch_67", BatchNormDesc{.in = {13, 13, 32}}, 67},
  };
}

std::vector<OpCase> element_cases() {
  const Shape odd{7, 5, 3};
  return {
      {"relu_odd", ReluDesc{odd}},
      {"relu_vector", ReluDesc{{1, 1, 1001}}, 1},
      {"relu_masked", ReluDesc{{6, 6, 16}}, 67, 33},
      {"relu_at_zero", ReluDesc{odd}, 3, 0, 0, SampleKind::grid},
      {"gelu_odd", GeluDesc{odd}},
      {"gelu_vector", GeluDesc{{1, 1, 1001}}, 1},
      {"gelu_masked", GeluDesc{{6, 6, 16}}, 67, 33},
      {"leaky_relu_odd", LeakyReluDesc{odd}},
      {"leaky_relu_vector", LeakyReluDesc{{1, 1, 1001}, 0.3F}, 1},
      {"leaky_relu_masked", LeakyReluDesc{{6, 6, 16}, 0.125F}, 67, 33},
      {"leaky_relu_at_zero", LeakyReluDesc{odd, 0.5F}, 3, 0, 0, SampleKind::grid},
      {"leaky_relu_slope_0", LeakyReluDesc{odd, 0}, 3, 0, 0.8},
      {"residual_odd", ResidualDesc{odd}},
      {"residual_vector", ResidualDesc{{1, 1, 1001}}, 1},
      {"residual_masked", ResidualDesc{{6, 6, 16}}, 67, 33},
      {"dropout_odd", DropoutDesc{odd, 0.5F, 3}},
      {"dropout_none", DropoutDesc{odd, 0, 1}},
      {"dropout_most", DropoutDesc{{5, 5, 16}, 0.9F, 2}},
      {"dropout_one_image", DropoutDesc{{1, 1, 333}, 0.25F, 1}, 1},
      {"dropout_masked", DropoutDesc{{1, 1, 257}, 0.25F, 1}, 67, 65},
  };
}

std::vector<FirstLayer> first_layers() {
  std::vector<FirstLayer> all;
  for (const int kernel : {3, 5}) {
    for (const bool padded : {false, true}) {
      for (const Window pool : {Window{}, Window{2, 2}, Window{3, 2}}) all.push_back({kernel, padded, pool});
    }
  }
  return all;
}

std::vector<OpCase> first_layer_cases(const FirstLayer& layer) {
  std::vector<OpCase> all;
  for (const int channels : {1, 3, 5, 8, 16, 20, 24, 32, 48, 64}) {
    ConvDesc desc = conv({12, 11, 1}, layer.kernel, channels);
    if (layer.same) desc = same(desc);
    desc.pool = layer.pool;
    desc.relu = channels % 3 != 0;
    const std::string name = describe(desc) + (layer.same ? ", same" : "");
    const double zeros = channels < 8 ? 0.9 : 0;  // few filters: by chance most outputs may lie below 0
    all.push_back({name, desc, 4, 0, zeros});
    all.push_back({name + ", masked", desc, 5, 3, zeros});
  }
  return all;
}

}  // namespace trainer
