#include "tests/reference/augmentation.hpp"

#include <cmath>
#include <numbers>

namespace trainer::reference {

namespace {

struct Vector {
  double y = 0, x = 0;
};

// The values drawn for an image, by their numbers: block 0 holds two shifts, the share and the rotation, block 1 zoom, shear and the
// place of the square, block 2 the erased rectangle, and the others two nodes of the grid each.
class Draws {
 public:
  Draws(std::uint64_t seed, std::uint64_t epoch, std::uint32_t number)
      : seed_(seed), epoch_(epoch), number_(number) {}

  std::uint32_t word(int index) const {
    const Philox4 words = philox4x32(
        {{number_, static_cast<std::uint32_t>(epoch_), static_cast<std::uint32_t>(index / 4), 1U << 30U}},
        static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32U));
    return words.word[index % 4];
  }
  double unit(int index) const { return (word(index) >> 8U) / 16777216.0; }
  double either_way(int index) const { return 2 * unit(index) - 1; }
  int below(int count, int index) const {
    return static_cast<int>(std::floor(word(index) / 4294967296.0 * count));
  }

 private:
  std::uint64_t seed_, epoch_;
  std::uint32_t number_;
};

Vector grid_movement(const Augmentation& a, const Shape& image, const Draws& draws, int y, int x) {
  const auto node = [&](int row, int column) -> Vector {
    const int index = 12 + 2 * (row * a.grid + column);
    return {static_cast<double>(a.elastic) * draws.either_way(index),
            static_cast<double>(a.elastic) * draws.either_way(index + 1)};
  };
  const double at_row = static_cast<double>(y) * (a.grid - 1) / (image.h - 1);
  const double at_column = static_cast<double>(x) * (a.grid - 1) / (image.w - 1);
  Vector sum;
  for (int row = 0; row < a.grid; ++row) {
    for (int column = 0; column < a.grid; ++column) {  // every node counts by its nearness, linearly
      const double weight =
          std::max(0.0, 1 - std::abs(row - at_row)) * std::max(0.0, 1 - std::abs(column - at_column));
      if (weight == 0) continue;
      const Vector moved = node(row, column);
      sum.y += weight * moved.y;
      sum.x += weight * moved.x;
    }
  }
  return sum;
}

struct Rectangle {
  int top = 0, left = 0, height = 0, width = 0;
  bool holds(int y, int x) const { return y >= top && y < top + height && x >= left && x < left + width; }
};

Rectangle erased(const Augmentation& a, const Shape& image, const Draws& draws) {
  const int most = static_cast<int>(static_cast<double>(a.erase) * image.h * image.w);
  Rectangle r;
  r.height = 1 + draws.below(std::min(most, image.h), 8);
  r.width = 1 + draws.below(std::min(most / r.height, image.w), 9);
  r.top = draws.below(image.h - r.height + 1, 10);
  r.left = draws.below(image.w - r.width + 1, 11);
  return r;
}

// Rotates what was sheared what was zoomed.
Vector turned(const Augmentation& a, const Draws& draws, Vector v) {
  constexpr double kDegree = std::numbers::pi / 180;
  const double zoom = 1 + static_cast<double>(a.zoom) * draws.either_way(4);
  const double angle = static_cast<double>(a.rotate) * draws.either_way(3) * kDegree;
  const double slope = std::tan(static_cast<double>(a.shear) * draws.either_way(5) * kDegree);
  v = {v.y * zoom, v.x * zoom};
  v.x += slope * v.y;
  return {std::cos(angle) * v.y + std::sin(angle) * v.x, std::cos(angle) * v.x - std::sin(angle) * v.y};
}

}  // namespace

Values augmented(const Augmentation& a, const Shape& image, const std::uint8_t* pixels, std::uint64_t seed,
                 std::uint64_t epoch, std::uint32_t number) {
  const Draws draws(seed, epoch, number);
  const bool chosen = draws.unit(2) < static_cast<double>(a.share);
  const Vector shift{static_cast<double>(draws.below(2 * a.shift + 1, 0) - a.shift),
                     static_cast<double>(draws.below(2 * a.shift + 1, 1) - a.shift)};
  const Vector middle{(image.h - 1) / 2.0, (image.w - 1) / 2.0};
  const Rectangle hole = chosen && a.erase > 0 ? erased(a, image, draws) : Rectangle{};
  const auto value = [&](int y, int x, int c) {
    const bool inside = y >= 0 && y < image.h && x >= 0 && x < image.w;
    return static_cast<double>(pixels[(inside ? y * image.w + x : 0) * image.c + c]);
  };
  Values picture;
  for (int y = 0; y < image.h; ++y) {
    for (int x = 0; x < image.w; ++x) {
      Vector at{y - middle.y, x - middle.x};
      if (a.crop > 0) at = {at.y * a.crop / image.h, at.x * a.crop / image.w};
      if (chosen) at = turned(a, draws, at);
      at = {at.y + middle.y + shift.y, at.x + middle.x + shift.x};
      if (a.crop > 0 && !a.centred_crop) {
        at.y += draws.either_way(6) * (image.h - a.crop) / 2;
        at.x += draws.either_way(7) * (image.w - a.crop) / 2;
      }
      if (chosen && a.elastic > 0) {
        const Vector moved = grid_movement(a, image, draws, y, x);
        at = {at.y + moved.y, at.x + moved.x};
      }
      const double top = std::floor(at.y), left = std::floor(at.x);
      for (int c = 0; c < image.c; ++c) {
        double sum = 0;
        for (int down : {0, 1}) {
          for (int right : {0, 1}) {
            sum += (1 - std::abs(at.y - top - down)) * (1 - std::abs(at.x - left - right)) *
                   value(static_cast<int>(top) + down, static_cast<int>(left) + right, c);
          }
        }
        picture.push_back(hole.holds(y, x) ? value(-1, -1, c) : sum);
      }
    }
  }
  return picture;
}

}  // namespace trainer::reference
