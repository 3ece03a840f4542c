// How the forward products of the shipped networks' normalised layers are divided on a GPU with 132 multiprocessors:
// none may get more tiles than necessary.
#include "kernels/cuda/matmul/product_plan.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <numeric>
#include <vector>

namespace trainer::cuda {
namespace {

constexpr unsigned kMultiprocessors = 132;

NormalisedDesc conv_of(int c, int out) {
  ConvDesc conv;
  conv.in = {8, 8, c};
  conv.out = out;
  conv.kernel = 3;
  conv.pool = {2, 2};
  BatchNormDesc norm;
  norm.in = out_shape(conv);
  return {conv, norm};
}

NormalisedDesc dense_of(int in, int out) {
  DenseDesc dense;
  dense.in = in;
  dense.out = out;
  BatchNormDesc norm;
  norm.in = {1, 1, out};
  return {dense, norm};
}

// The tiles of every multiprocessor, if block b runs on multiprocessor b modulo their count.
std::vector<unsigned> tiles_of(const ProductPlan& plan) {
  std::vector<unsigned> tiles(kMultiprocessors);
  for (unsigned block = 0; block < plan.blocks(); ++block) {
    const unsigned first = first_tile_of(block % plan.parts, plan.parts, block / plan.parts, plan.tiles);
    for (unsigned tile = first; tile < plan.tiles; tile += plan.parts) ++tiles[block % kMultiprocessors];
  }
  return tiles;
}

void expect_level(const NormalisedDesc& desc, int batch, unsigned tiles, unsigned most) {
  const CudaContext context{.stream = {},
                            .multiprocessors = kMultiprocessors,
                            .convolutions = OnFirstUse(nullptr),
                            .products = OnFirstUse(nullptr)};
  const ProductPlan plan = plan_product(context, product_of(desc), batch);
  const std::vector<unsigned> all = tiles_of(plan);
  EXPECT_LE(plan.blocks(), kProductBlocks * kMultiprocessors);
  EXPECT_EQ(std::accumulate(all.begin(), all.end(), 0U), plan.slices * plan.tiles);
  EXPECT_EQ(plan.slices * plan.tiles, tiles);
  EXPECT_EQ(*std::max_element(all.begin(), all.end()), most);
}

TEST(ProductPlan, SprintsConvolutionHasFiveTilesAMultiprocessorAtMost) {
  expect_level(conv_of(16, 48), 1152, 648, 5);  // 4.9 on average
}

TEST(ProductPlan, SprintLeansConvolutionHasOne) {
  expect_level(conv_of(8, 24), 256, 72, 1);
}

TEST(ProductPlan, SprintsDenseLayerHasThree) {
  expect_level(dense_of(432, 256), 1152, 288, 3);  // 2.2 on average
}

TEST(FirstTile, GoesOnWhereTheSliceBeforeEnded) {
  EXPECT_EQ(first_tile_of(0, 4, 0, 6), 0U);
  EXPECT_EQ(first_tile_of(2, 4, 1, 6), 0U);  // four and two have been dealt
  EXPECT_EQ(first_tile_of(1, 4, 1, 6), 3U);
  EXPECT_EQ(first_tile_of(0, 4, 2, 6), 0U);
}

}  // namespace
}  // namespace trainer::cuda
