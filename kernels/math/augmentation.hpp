// Data augmentation: random changes of an image before a network trains on it. What is drawn is a pure function of (seed, epoch,
// image), so that every backend, every number of ranks and every replay of a step shows the same picture without storing it. One
// bilinear interpolation serves all changes together; an image that is only shifted, by whole pixels, is copied.
#pragma once

#include <cstdint>

#include "kernels/math/functions.hpp"
#include "kernels/math/philox.hpp"
#include "kernels/shape.hpp"

namespace trainer {

constexpr int kMostNodes = 8;  // nodes along each axis of an elastic distortion's grid

// The limits of what is drawn, uniformly and independently. All zero: nothing is changed.
struct Augmentation {
  int shift = 0;              // whole pixels, up or down and left or right
  int crop = 0;               // side of a square at a random place that is scaled to the image's size
  bool centred_crop = false;  // the square lies in the middle, as it does when a network is tested
  float share = 1;  // the fraction of the images to which what follows is applied; shift and crop are for all
  float rotate = 0;   // degrees, either way
  float zoom = 0;     // as a fraction, larger or smaller
  float shear = 0;    // degrees, either way: a line that was upright leans so far
  float elastic = 0;  // pixels that a node of the grid moves at most, along each axis
  int grid = 0;     // nodes along each axis, evenly over the image; between them the movement is interpolated
  float erase = 0;  // the largest fraction of the area of a rectangle that becomes background

  HOST_DEVICE bool distorts() const { return rotate > 0 || zoom > 0 || shear > 0 || elastic > 0; }
  HOST_DEVICE bool any() const { return shift > 0 || crop > 0 || erase > 0 || distorts(); }
};

// What a trained network is shown of an image: the square in the middle, if it was trained on squares.
inline Augmentation at_test(const Augmentation& a) {
  return {.crop = a.crop, .centred_crop = true};
}

// What was drawn for one image. The pixel at (y, x) of the picture shows the image at
//   centre + matrix (y - centre, x - centre) + (down, right) + movement of the grid at (y, x)
// or, unless it interpolates, at (y + down, x + right).
struct Transformation {
  bool interpolates;
  float yy, yx, xy, xx;  // the matrix
  float down, right;
  int grid;
  float node_down[kMostNodes * kMostNodes], node_right[kMostNodes * kMostNodes];
  int erase_top, erase_bottom, erase_left, erase_right;  // [top, bottom) by [left, right) of the picture
};

namespace detail {

constexpr std::uint32_t kAugmentationStream =
    1U << 30U;  // dropout and initial values have other numbers (models/plan.hpp)

// Four words of an image and epoch.
HOST_DEVICE Philox4 drawn(std::uint64_t seed, std::uint64_t epoch, std::uint32_t image, std::uint32_t block) {
  return philox4x32({{image, static_cast<std::uint32_t>(epoch), block, kAugmentationStream}},
                    static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
}
// Uniform in [-1, 1).
HOST_DEVICE float either_way(std::uint32_t word) {
  return unit_float(word) * 2.0F - 1.0F;
}
// Uniform in 0 ... count - 1.
HOST_DEVICE int below(int count, std::uint32_t word) {
  return static_cast<int>(static_cast<std::uint64_t>(word) * static_cast<std::uint64_t>(count) >> 32U);
}

HOST_DEVICE void set_matrix(const Augmentation& a, const Shape& image, bool distorted, std::uint32_t rotate,
                            std::uint32_t zoom, std::uint32_t shear, Transformation& t) {
  const double turn =
      distorted ? exact_quotient(static_cast<double>(a.rotate * either_way(rotate)), static_cast<double>(180))
                : 0.0;  // in units of pi
  const double lean =
      distorted ? exact_quotient(static_cast<double>(a.shear * either_way(shear)), static_cast<double>(180))
                : 0.0;
  const double size = distorted ? 1.0 + static_cast<double>(a.zoom * either_way(zoom)) : 1.0;
  const double cosine = cosine_of_pi(turn);
  const double sine = cosine_of_pi(0.5 - turn);
  const double slope = exact_quotient(cosine_of_pi(0.5 - lean), cosine_of_pi(lean));
  const double down =
      (a.crop > 0 ? exact_quotient(static_cast<double>(a.crop), static_cast<double>(image.h)) : 1.0) * size;
  const double right =
      (a.crop > 0 ? exact_quotient(static_cast<double>(a.crop), static_cast<double>(image.w)) : 1.0) * size;
  t.yy = static_cast<float>((cosine + sine * slope) * down);
  t.yx = static_cast<float>(sine * right);
  t.xy = static_cast<float>((cosine * slope - sine) * down);
  t.xx = static_cast<float>(cosine * right);
}

// A rectangle of the picture: its height any, its width so that the area has the limit.
HOST_DEVICE void set_rectangle(const Augmentation& a, const Shape& image, const Philox4& words,
                               Transformation& t) {
  const int most = static_cast<int>(a.erase * static_cast<float>(image.h * image.w));
  const int height = 1 + below(most < image.h ? most : image.h, words.word[0]);
  const int widest =
      static_cast<int>(exact_quotient(static_cast<std::uint32_t>(most), static_cast<std::uint32_t>(height)));
  const int width = 1 + below(widest < image.w ? widest : image.w, words.word[1]);
  t.erase_top = below(image.h - height + 1, words.word[2]);
  t.erase_left = below(image.w - width + 1, words.word[3]);
  t.erase_bottom = t.erase_top + height;
  t.erase_right = t.erase_left + width;
}

HOST_DEVICE void set_grid(const Augmentation& a, std::uint64_t seed, std::uint64_t epoch, std::uint32_t image,
                          Transformation& t) {
  t.grid = a.grid;
  for (int node = 0; node < a.grid * a.grid; node += 2) {
    const Philox4 words = drawn(seed, epoch, image, 3U + static_cast<std::uint32_t>(node) / 2U);
    for (int i = 0; i < 2 && node + i < a.grid * a.grid; ++i) {
      t.node_down[node + i] = a.elastic * either_way(words.word[2 * i]);
      t.node_right[node + i] = a.elastic * either_way(words.word[2 * i + 1]);
    }
  }
}

// The whole number from which `at` is less than one away, and the rest.
struct Place {
  int whole;
  float rest;
};
HOST_DEVICE Place place_of(float at) {
  const int cut = static_cast<int>(at);
  const int whole = static_cast<float>(cut) > at ? cut - 1 : cut;
  return {whole, at - static_cast<float>(whole)};
}

HOST_DEVICE float between(float a, float b, float rest) {
  return a + (b - a) * rest;
}

// Where `at`, one of `length` pixels, lies in a grid of `nodes`: a node with another behind it, and how far it is from it.
HOST_DEVICE Place node_of(int at, int length, int nodes) {
  const float exact =
      exact_quotient(static_cast<float>(at * (nodes - 1)), static_cast<float>(length > 1 ? length - 1 : 1));
  const Place place = place_of(exact);
  return place.whole > nodes - 2 ? Place{nodes - 2, 1.0F} : place;
}

HOST_DEVICE float movement(const float* nodes, int grid, const Place& row, const Place& column) {
  const float* node = nodes + row.whole * grid + column.whole;
  return between(between(node[0], node[1], column.rest), between(node[grid], node[grid + 1], column.rest),
                 row.rest);
}

}  // namespace detail

// What is drawn for image number `image` of the data set in an epoch.
HOST_DEVICE Transformation transformation_of(const Augmentation& a, const Shape& image, std::uint64_t seed,
                                             std::uint64_t epoch, std::uint32_t number) {
  const Philox4 first = detail::drawn(seed, epoch, number, 0);
  const Philox4 second = detail::drawn(seed, epoch, number, 1);
  const bool chosen = unit_float(first.word[2]) < a.share;
  Transformation t;
  t.interpolates = a.crop > 0 || (chosen && a.distorts());
  t.yy = t.xx = 1;
  t.yx = t.xy = 0;
  if (t.interpolates) detail::set_matrix(a, image, chosen, first.word[3], second.word[0], second.word[1], t);
  t.down = static_cast<float>(detail::below(2 * a.shift + 1, first.word[0]) - a.shift);
  t.right = static_cast<float>(detail::below(2 * a.shift + 1, first.word[1]) - a.shift);
  if (a.crop > 0 && !a.centred_crop) {
    t.down += detail::either_way(second.word[2]) * static_cast<float>(image.h - a.crop) * 0.5F;
    t.right += detail::either_way(second.word[3]) * static_cast<float>(image.w - a.crop) * 0.5F;
  }
  t.grid = t.erase_top = t.erase_bottom = t.erase_left = t.erase_right = 0;
  if (chosen && a.erase > 0) detail::set_rectangle(a, image, detail::drawn(seed, epoch, number, 2), t);
  if (chosen && a.elastic > 0) detail::set_grid(a, seed, epoch, number, t);
  return t;
}

// Channel c of the picture at (y, x), of an image with `pixels` [h, w, c]. What lies outside of the image, or was erased, has the
// value of its upper left corner.
HOST_DEVICE float pixel_of(const Transformation& t, const std::uint8_t* pixels, const Shape& image, int y,
                           int x, int c) {
  const auto stored = [&](int row, int column) {
    const bool inside = row >= 0 && row < image.h && column >= 0 && column < image.w;
    return static_cast<float>(pixels[(inside ? row * image.w + column : 0) * image.c + c]);
  };
  if (y >= t.erase_top && y < t.erase_bottom && x >= t.erase_left && x < t.erase_right) return stored(-1, -1);
  if (!t.interpolates) return stored(y + static_cast<int>(t.down), x + static_cast<int>(t.right));
  const float middle_y = static_cast<float>(image.h - 1) * 0.5F;
  const float middle_x = static_cast<float>(image.w - 1) * 0.5F;
  const float dy = static_cast<float>(y) - middle_y;
  const float dx = static_cast<float>(x) - middle_x;
  float at_y = middle_y + t.down + (t.yy * dy + t.yx * dx);
  float at_x = middle_x + t.right + (t.xy * dy + t.xx * dx);
  if (t.grid > 0) {
    const detail::Place row = detail::node_of(y, image.h, t.grid);
    const detail::Place column = detail::node_of(x, image.w, t.grid);
    at_y += detail::movement(t.node_down, t.grid, row, column);
    at_x += detail::movement(t.node_right, t.grid, row, column);
  }
  const detail::Place row = detail::place_of(at_y);
  const detail::Place column = detail::place_of(at_x);
  const auto line = [&](int at) {
    return detail::between(stored(at, column.whole), stored(at, column.whole + 1), column.rest);
  };
  return detail::between(line(row.whole), line(row.whole + 1), row.rest);
}

}  // namespace trainer
