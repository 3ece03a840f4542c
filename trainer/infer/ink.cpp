// The paper is estimated on a coarse grid: in each cell a quantile of its pixels, then a grey-scale closing (7x7 maximum, then
// minimum), which fills in cells that ink covers and leaves the slope of a shadow as it is.
#include "trainer/infer/ink.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace trainer {
namespace {

constexpr int kCells = 16;              // cells along the longer side: shadows are wider than one
constexpr int kReach = 3;               // cells: a stroke may be twice as wide and is still bridged
constexpr double kPaperQuantile = 0.8;  // a cell shows its paper if strokes cover less than this of it
constexpr float kQuantileBias = 0.84F;  // that quantile of normal noise, in standard deviations
constexpr float kNoiseDeviations = 5;   // ink differs from the paper by more than this times the noise
constexpr float kDarkest = 40;          // paper darker than this is not rescaled as if it were in a shadow
constexpr float kMostGain = 3;          // nor by more than this

float quantile_of(std::vector<float>& values, double quantile) {
  const auto at = std::lround(quantile * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

auto& at(auto& plane, int y, int x) {
  return plane.values[plane.index(y, x)];
}

// A quantile of the values in rows [y, y + height) and columns [x, x + width), as far as they are in the plane.
float quantile_in(const Plane& plane, int y, int x, int height, int width, double quantile) {
  std::vector<float> values;
  for (int row = std::max(0, y); row < std::min(plane.height, y + height); ++row)
    for (int column = std::max(0, x); column < std::min(plane.width, x + width); ++column)
      values.push_back(at(plane, row, column));
  return quantile_of(values, quantile);
}

int cell_edge(const Plane& plane) {
  return std::max(2, (std::max(plane.height, plane.width) + kCells - 1) / kCells);
}

// A quantile of each cell's pixels.
Plane grid_of(const Plane& plane, double quantile) {
  const int edge = cell_edge(plane);
  Plane grid{(plane.height + edge - 1) / edge, (plane.width + edge - 1) / edge, {}};
  for (int y = 0; y < grid.height; ++y)
    for (int x = 0; x < grid.width; ++x)
      grid.values.push_back(quantile_in(plane, y * edge, x * edge, edge, edge, quantile));
  return grid;
}

// A quantile of each cell's neighbourhood.
Plane ranked(const Plane& grid, double quantile) {
  Plane result{grid.height, grid.width, {}};
  for (int y = 0; y < grid.height; ++y)
    for (int x = 0; x < grid.width; ++x)
      result.values.push_back(
          quantile_in(grid, y - kReach, x - kReach, 2 * kReach + 1, 2 * kReach + 1, quantile));
  return result;
}

// The grid, interpolated to the size of the plane that it was made of.
Plane spread_over(const Plane& plane, const Plane& grid) {
  const double edge = cell_edge(plane);
  return resample(grid, {0, 0, plane.height / edge, plane.width / edge}, plane.height, plane.width,
                  Outside::kNearestEdge);
}

// How far each pixel is from the mean of its four neighbours: noise, and the edges of strokes.
Plane roughness(const Plane& plane) {
  Plane rough{plane.height, plane.width, {}};
  for (int y = 0; y < plane.height; ++y)
    for (int x = 0; x < plane.width; ++x) {
      const float around = at(plane, std::max(0, y - 1), x) +
                           at(plane, std::min(plane.height - 1, y + 1), x) +
                           at(plane, y, std::max(0, x - 1)) + at(plane, y, std::min(plane.width - 1, x + 1));
      rough.values.push_back(std::abs(at(plane, y, x) - around / 4));
    }
  return rough;
}

// The standard deviation of the noise around each pixel. The median of a normal variable's size is 0.6745 deviations, and the
// difference from a mean of four has 1.25 times the variance.
Plane noise_of(const Plane& plane) {
  Plane noise = spread_over(plane, ranked(grid_of(roughness(plane), 0.5), 0.5));
  for (float& value : noise.values) value /= 0.6745F * std::sqrt(1.25F);
  return noise;
}

// Once with the weights 1 2 1 along each axis.
void smooth(Plane& plane) {
  const Plane old = plane;
  Plane rows = plane;
  for (int y = 0; y < plane.height; ++y)
    for (int x = 0; x < plane.width; ++x)
      at(rows, y, x) = (at(old, y, std::max(0, x - 1)) + 2 * at(old, y, x) +
                        at(old, y, std::min(plane.width - 1, x + 1))) /
                       4;
  for (int y = 0; y < plane.height; ++y)
    for (int x = 0; x < plane.width; ++x)
      at(plane, y, x) = (at(rows, std::max(0, y - 1), x) + 2 * at(rows, y, x) +
                         at(rows, std::min(plane.height - 1, y + 1), x)) /
                        4;
}

struct Smoothing {
  float from;  // standard deviation of the noise, grey levels
  int passes;
  float remaining;  // of white noise after them
};
constexpr std::array<Smoothing, 4> kSmoothing = {
    {{0, 0, 1}, {2, 1, 0.375F}, {6, 2, 0.273F}, {15, 4, 0.196F}}};

}  // namespace

Pen pen_of(const Plane& grey) {
  const Plane paper = spread_over(grey, ranked(grid_of(grey, 0.5), 0.5));
  double balance = 0;
  for (std::size_t i = 0; i < grey.values.size(); ++i) {
    const double difference = grey.values[i] - paper.values[i];
    balance += difference * std::abs(difference);
  }
  return balance > 0 ? Pen::kLight : Pen::kDark;
}

InkMap ink_map(const Plane& grey, Pen pen) {
  Plane dark = grey;
  if (pen == Pen::kLight)
    for (float& value : dark.values) value = 255 - value;
  const Plane paper = spread_over(dark, ranked(ranked(grid_of(dark, kPaperQuantile), 1), 0));
  const Plane noise = noise_of(dark);
  InkMap map{{grey.height, grey.width, {}}, 0, 0};
  std::vector<float> values = noise.values;
  map.noise = quantile_of(values, 0.5);
  values = paper.values;
  const float best_light = quantile_of(values, 0.95);
  const Smoothing* smoothing = kSmoothing.data();
  for (const Smoothing& one : kSmoothing)
    if (map.noise >= one.from) smoothing = &one;
  for (int pass = 0; pass < smoothing->passes; ++pass) smooth(dark);
  for (std::size_t i = 0; i < dark.values.size(); ++i) {
    // A shadow takes the same fraction of the light from pen and paper.
    const float gain = pen == Pen::kLight || paper.values[i] < kDarkest
                           ? 1.0F
                           : std::min(kMostGain, best_light / paper.values[i]);
    const float strength = paper.values[i] - kQuantileBias * noise.values[i] - dark.values[i];
    const float least = kNoiseDeviations * smoothing->remaining * noise.values[i];
    map.strength.values.push_back(strength > least ? std::max(1.0F, gain) * strength : 0);
  }
  map.strongest = *std::ranges::max_element(map.strength.values);
  return map;
}

}  // namespace trainer
