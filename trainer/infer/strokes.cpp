// Digits are connected parts of the ink that are writing (not desk edges, lines of the paper or dust), joined and put in reading order.
#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <utility>

#include "trainer/infer/digit.hpp"
#include "trainer/infer/ink.hpp"

namespace trainer {
namespace {

constexpr float kLeastStrength = 12;  // grey levels: weaker is never ink
// The low threshold, as a fraction of the high one: a part is what exceeds the low one, and in some pixel the high one.
constexpr float kHysteresis = 0.6F;
constexpr double kLeastShare =
    0.08;  // a fraction of the largest part's area: smaller parts are dust and dots
constexpr double kLeastFragment = 0.03;  // likewise: the smallest fragment that is joined to a digit
constexpr double kLeastHeight =
    0.35;  // a fraction of the tallest digit's height: lower parts are dashes and underlines
// The least height of a digit: what is lower is a speck. Narrow fonts have 5 rows; on a whole page, 0.8 % are 2 mm.
constexpr int kLeastRows = 5;
constexpr double kLeastPageShare = 0.008;  // a fraction of the picture's longer side
constexpr std::size_t kMostDigits = 500;   // more are a pattern, or noise; each costs time with every other
constexpr int kThickestLine = 6;           // pixels: a line printed on paper is not thicker
constexpr int kRounds = 4;                 // of erasing edges and choosing the threshold again

// The threshold that divides the values above `least` into two classes with the largest variance between them
// (N. Otsu, "A threshold selection method from gray-level histograms", 1979); `least` if there are none.
float otsu_threshold(const Plane& plane, float least) {
  std::array<double, 256> counts{};
  double count = 0;
  double sum = 0;
  for (const float value : plane.values)
    if (value > least) {
      const auto level = static_cast<std::size_t>(std::min(value, 255.0F));
      counts[level] += 1;
      count += 1;
      sum += static_cast<double>(level);
    }
  double below = 0;
  double sum_below = 0;
  double best = -1;
  std::size_t first = 0;
  std::size_t last = 0;
  for (std::size_t level = 0; level < counts.size(); ++level) {
    below += counts[level];
    sum_below += counts[level] * static_cast<double>(level);
    if (below == 0 || below == count) continue;
    const double apart = sum_below / below - (sum - sum_below) / (count - below);
    const double variance = below * (count - below) * apart * apart;
    if (variance > best) first = level;
    if (variance >= best) last = level;  // the same where no value lies between
    best = std::max(best, variance);
  }
  return best < 0 ? least : std::max(least, static_cast<float>(first + last + 2) / 2);
}

// A connected part of the ink, or several that were joined.
struct Part {
  PixelBox box;
  std::vector<int> labels;  // its own, and those of the parts joined to it
  int area = 0;             // pixels
  int contact = 0;          // those on the picture's border
  float peak = 0;           // its greatest strength
};

// labels[pixel] is the index of the part that it belongs to, or -1.
struct Parts {
  std::vector<Part> parts;
  std::vector<int> labels;
};

template <class Visit>
void for_neighbours(const Plane& plane, int y, int x, int reach, const Visit& visit) {
  for (int row = std::max(0, y - reach); row <= std::min(plane.height - 1, y + reach); ++row)
    for (int column = std::max(0, x - reach); column <= std::min(plane.width - 1, x + reach); ++column)
      visit(row * plane.width + column);
}

// The part (8 neighbours) of what exceeds `low` that the pixel `start` belongs to.
Part collect(const Plane& plane, float low, int start, int index, std::vector<int>& labels) {
  Part part{{plane.height, plane.width, 0, 0}, {index}};
  std::vector<int> open{start};
  labels[static_cast<std::size_t>(start)] = index;
  while (!open.empty()) {
    const int at = open.back();
    open.pop_back();
    const int y = at / plane.width;
    const int x = at % plane.width;
    const float value = plane.values[static_cast<std::size_t>(at)];
    part.box = {std::min(part.box.top, y), std::min(part.box.left, x), std::max(part.box.bottom, y + 1),
                std::max(part.box.right, x + 1)};
    part.area += 1;
    part.contact += y == 0 || x == 0 || y == plane.height - 1 || x == plane.width - 1 ? 1 : 0;
    part.peak = std::max(part.peak, value);
    for_neighbours(plane, y, x, 1, [&](int next) {
      const auto i = static_cast<std::size_t>(next);
      if (labels[i] >= 0 || plane.values[i] <= low) return;
      labels[i] = index;
      open.push_back(next);
    });
  }
  return part;
}

Parts connected_parts(const Plane& plane, float low) {
  Parts found{{}, std::vector<int>(plane.values.size(), -1)};
  for (std::size_t i = 0; i < plane.values.size(); ++i)
    if (plane.values[i] > low && found.labels[i] < 0)
      found.parts.push_back(
          collect(plane, low, static_cast<int>(i), static_cast<int>(found.parts.size()), found.labels));
  return found;
}

// A desk beside the paper, a shadow's edge or a line of the paper: it goes from one side of the picture to the other, or lies along
// its border. A digit that was cut out closely does so too, but on all sides, and touches the border here and there only.
bool is_edge(const Part& part, const Plane& plane) {
  const bool wide = part.box.width() >= 0.9 * plane.width;
  const bool high = part.box.height() >= 0.9 * plane.height;
  if (wide && high) return part.contact > 0.6 * (plane.height + plane.width);
  return part.contact > 0 &&
         (wide || high || part.contact > 0.5 * std::max(part.box.height(), part.box.width()));
}

// The length of the run of its part's pixels through a pixel, across or down, whichever is shorter.
int width_at(const Plane& plane, const std::vector<int>& labels, int y, int x) {
  const auto run = [&](int down, int right) {
    int length = 0;
    for (int i = y, j = x; i >= 0 && j >= 0 && i < plane.height && j < plane.width; i += down, j += right) {
      if (labels[plane.index(i, j)] != labels[plane.index(y, x)]) break;
      ++length;
    }
    return length;
  };
  return std::min(run(0, 1) + run(0, -1), run(1, 0) + run(-1, 0)) - 1;
}

// Erases an edge; of a line, and of a digit that it crosses, only what is as narrow as the line.
void erase(Plane& plane, const std::vector<int>& labels, const Part& part) {
  std::vector<std::pair<int, std::size_t>> pixels;  // width, index
  for (int y = part.box.top; y < part.box.bottom; ++y)
    for (int x = part.box.left; x < part.box.right; ++x)
      if (const auto i = plane.index(y, x); labels[i] == part.labels.front())
        pixels.emplace_back(width_at(plane, labels, y, x), i);
  std::ranges::sort(pixels);
  const int narrow = pixels[pixels.size() / 8].first;
  for (const auto& [width, i] : pixels)
    if (narrow > kThickestLine || width <= narrow + (narrow + 1) / 2) plane.values[i] = 0;
}

// Whether two parts belong to one digit: they overlap by at least half of the smaller one each way, or one is above the other with a
// gap too small for two rows, or one is a small stroke (the bar of a 5) close to the other.
bool belong_together(const PixelBox& a, const PixelBox& b) {
  const int across = std::min(a.right, b.right) - std::max(a.left, b.left);
  const int down = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  const double height = std::max(a.height(), b.height());
  const bool beside = across < 0.5 * std::min(a.width(), b.width());
  const bool stacked = down < 0.5 * std::min(a.height(), b.height());
  const bool small = std::min(a.height(), b.height()) < 0.6 * height;
  const PixelBox& lower = a.top < b.top ? b : a;
  if (down <= 0 && lower.width() > 4 * lower.height()) return false;  // it is underlined
  if (!beside && !stacked) return true;
  if (!beside) return -down < (small ? 0.3 * height : 0.1 * (a.height() + b.height()));
  return small && -across < 0.15 * height && -down < 0.15 * height;
}

// Area, contact and peak stay those of the first part.
void unite(Part& part, const Part& other) {
  part.box = {std::min(part.box.top, other.box.top), std::min(part.box.left, other.box.left),
              std::max(part.box.bottom, other.box.bottom), std::max(part.box.right, other.box.right)};
  part.labels.insert(part.labels.end(), other.labels.begin(), other.labels.end());
}

// The digits that the parts make: a part that is large enough, or a fragment beside such a one.
std::vector<Part> put_together(std::vector<Part> parts, float threshold, int longer_side) {
  std::erase_if(parts, [&](const Part& part) { return part.peak < threshold; });
  std::ranges::stable_sort(parts, [](const Part& a, const Part& b) { return a.area > b.area; });
  std::vector<Part> digits;
  int tallest = 0;
  for (Part& part : parts) {
    const double share = static_cast<double>(part.area) / parts.front().area;
    if (share < kLeastFragment) break;
    const auto own = std::partition(digits.begin(), digits.end(),
                                    [&](const Part& digit) { return !belong_together(digit.box, part.box); });
    if (share < kLeastShare && own == digits.end()) continue;
    std::for_each(own, digits.end(), [&](const Part& digit) { unite(part, digit); });
    digits.erase(own, digits.end());
    digits.push_back(part);
    tallest = std::max(tallest, part.box.height());
    if (digits.size() > kMostDigits)
      throw PictureError(fmt::format(
          "no digit: what stands out are more than {} specks; if they are digits, cut the picture",
          kMostDigits));
  }
  const double least =
      std::max({kLeastHeight * tallest, static_cast<double>(kLeastRows), kLeastPageShare * longer_side});
  std::erase_if(digits, [&](const Part& digit) { return digit.box.height() < least; });
  return digits;
}

// Row by row, left to right: a digit belongs to the row if its middle lies above the bottom of the topmost remaining digit.
void sort_for_reading(std::vector<Part>& digits) {
  auto row = digits.begin();
  while (row != digits.end()) {
    std::sort(row, digits.end(), [](const Part& a, const Part& b) { return a.box.top < b.box.top; });
    const PixelBox first = row->box;
    const auto end = std::stable_partition(row, digits.end(), [&](const Part& digit) {
      return (digit.box.top + digit.box.bottom) / 2 < first.bottom;
    });
    std::sort(row, end, [](const Part& a, const Part& b) { return a.box.left < b.box.left; });
    row = end;
  }
}

// The digit's own pixels, and those around them that belong to no other part: the blurred edges of its strokes.
DigitInk ink_of_digit(const Plane& strength, const Parts& found, const Part& digit) {
  constexpr int kMargin = 2;
  const auto own = [&](int label) { return std::ranges::find(digit.labels, label) != digit.labels.end(); };
  const PixelBox& box = digit.box;
  const PixelBox crop{std::max(0, box.top - kMargin), std::max(0, box.left - kMargin),
                      std::min(strength.height, box.bottom + kMargin),
                      std::min(strength.width, box.right + kMargin)};
  DigitInk result{box, {crop.height(), crop.width(), {}}};
  std::vector<float> strokes;
  for (int y = crop.top; y < crop.bottom; ++y)
    for (int x = crop.left; x < crop.right; ++x) {
      const auto i = strength.index(y, x);
      bool near = own(found.labels[i]);
      if (near) strokes.push_back(strength.values[i]);
      if (found.labels[i] < 0)
        for_neighbours(strength, y, x, kMargin,
                       [&](int next) { near = near || own(found.labels[static_cast<std::size_t>(next)]); });
      result.ink.values.push_back(near ? strength.values[i] : 0);
    }
  // Large strokes are equally dark but for noise and blur; the pixels of a small digit differ because strokes cover parts of them.
  const bool large = std::max(box.height(), box.width()) >= 40;
  const auto nth = strokes.begin() +
                   static_cast<std::ptrdiff_t>((large ? 0.6 : 1.0) * static_cast<double>(strokes.size() - 1));
  std::nth_element(strokes.begin(), nth, strokes.end());
  for (float& value : result.ink.values) value = std::min(1.0F, value / *nth);
  return result;
}

}  // namespace

std::vector<DigitInk> find_digits(const InkMap& map) {
  Plane strength = map.strength;
  Parts found;
  float threshold = 0;
  bool erased = true;
  for (int round = 0; round < kRounds && erased; ++round) {
    threshold = otsu_threshold(strength, kLeastStrength);
    found = connected_parts(strength, std::max(kLeastStrength, kHysteresis * threshold));
    erased = false;
    for (const Part& part : found.parts) {
      if (part.peak < threshold || !is_edge(part, strength)) continue;
      erase(strength, found.labels, part);
      erased = true;
    }
  }
  std::vector<Part> digits = put_together(found.parts, threshold, std::max(strength.height, strength.width));
  sort_for_reading(digits);
  std::vector<DigitInk> result;
  result.reserve(digits.size());
  for (const Part& digit : digits) result.push_back(ink_of_digit(strength, found, digit));
  return result;
}

}  // namespace trainer
