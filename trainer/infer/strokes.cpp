#include "trainer/infer/strokes.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>

namespace trainer {
namespace {

constexpr float kLeastStrength = 12;  // grey levels: weaker is never ink
constexpr float kHysteresis =
    0.6F;  // a part is what exceeds this of the threshold and somewhere the threshold itself
constexpr double kLeastShare = 0.08;     // of the largest part's area: smaller ones are dust and dots
constexpr double kLeastFragment = 0.03;  // of it: what a broken stroke beside a larger part has
constexpr double kLeastHeight =
    0.35;  // of the tallest digit's height: lower ones are dots, dashes and underlines
constexpr float kLeastMean = 0.45F;  // of the strongest part's mean: weaker ones are stains
constexpr int kThickestLine = 6;     // pixels: a line printed on paper is thinner than this
constexpr int kRounds = 4;           // of removing edges and choosing the threshold again

struct Part {
  PixelBox box;
  int area = 0;     // pixels
  int contact = 0;  // those on the picture's border
  double sum = 0;   // of strength
  float peak = 0;
};

// Connected parts (8 neighbours) of what exceeds `low`. labels[pixel] is a part's index, or -1.
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

Part collect(const Plane& plane, float low, int start, int index, std::vector<int>& labels) {
  Part part{{plane.height, plane.width, 0, 0}};
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
    part.sum += value;
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

// For each pixel of the parts, how wide its part is there: the length of the run of the part's pixels through it, across or down,
// whichever is shorter. 0 elsewhere.
std::vector<int> widths_in(const Plane& plane, const std::vector<int>& labels) {
  std::vector<int> widths(labels.size());
  const auto measure = [&](int start, int step, int count) {
    for (int i = 0; i < count;) {
      const auto label_at = [&](int n) { return labels[static_cast<std::size_t>(start + n * step)]; };
      int end = i + 1;
      while (end < count && label_at(end) == label_at(i)) ++end;
      for (int n = i; n < end; ++n) {
        int& width = widths[static_cast<std::size_t>(start + n * step)];
        if (label_at(i) >= 0) width = width == 0 ? end - i : std::min(width, end - i);
      }
      i = end;
    }
  };
  for (int y = 0; y < plane.height; ++y) measure(y * plane.width, 1, plane.width);
  for (int x = 0; x < plane.width; ++x) measure(x, plane.width, plane.height);
  return widths;
}

// The width up to which a part's pixels are erased: all of an edge's; of a line, and of a digit that it crosses, the line's.
int erased_width(const std::vector<int>& widths, const std::vector<int>& labels, int label) {
  std::vector<int> own;
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (labels[i] == label) own.push_back(widths[i]);
  const auto narrow = own.begin() + static_cast<std::ptrdiff_t>(own.size() / 8);
  std::nth_element(own.begin(), narrow, own.end());
  return *narrow <= kThickestLine ? *narrow + (*narrow + 1) / 2 : std::numeric_limits<int>::max();
}

// Erases the edges and lines among the parts, an edge with what is blurred around it. Whether there were any.
bool erase_edges(Plane& plane, const Parts& found, float threshold) {
  std::vector<int> limits(found.parts.size());
  std::vector<int> widths;
  for (std::size_t label = 0; label < limits.size(); ++label)
    if (found.parts[label].peak >= threshold && is_edge(found.parts[label], plane)) {
      if (widths.empty()) widths = widths_in(plane, found.labels);
      limits[label] = erased_width(widths, found.labels, static_cast<int>(label));
    }
  if (widths.empty()) return false;
  std::vector<std::uint8_t> erased(plane.values.size());
  for (int y = 0; y < plane.height; ++y)
    for (int x = 0; x < plane.width; ++x) {
      const auto i = static_cast<std::size_t>(y * plane.width + x);
      if (found.labels[i] < 0) continue;
      const int limit = limits[static_cast<std::size_t>(found.labels[i])];
      const int blur = limit == std::numeric_limits<int>::max() ? 2 : 0;
      if (widths[i] <= limit)
        for_neighbours(plane, y, x, blur, [&](int near) { erased[static_cast<std::size_t>(near)] = 1; });
    }
  for (std::size_t i = 0; i < erased.size(); ++i)
    if (erased[i] != 0) plane.values[i] = 0;
  return true;
}

// Whether two parts belong to one digit: they lie inside one another, one above the other with a gap too small for two rows, or one is
// a small stroke (the bar of a 5) close to the other.
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
  if (!beside) return -down < (small ? 0.3 : 0.1) * height;
  return small && -across < 0.15 * height && -down < 0.15 * height;
}

struct Digit {
  PixelBox box;
  std::vector<int> labels;
};

PixelBox around(const PixelBox& a, const PixelBox& b) {
  return {std::min(a.top, b.top), std::min(a.left, b.left), std::max(a.bottom, b.bottom),
          std::max(a.right, b.right)};
}

std::vector<Digit> put_together(const Parts& found, const std::vector<int>& kept) {
  std::vector<Digit> digits;
  for (const int label : kept) {
    Digit digit{found.parts[static_cast<std::size_t>(label)].box, {label}};
    for (std::size_t i = 0; i < digits.size();) {
      if (!belong_together(digits[i].box, digit.box)) {
        ++i;
        continue;
      }
      digit.box = around(digit.box, digits[i].box);
      digit.labels.insert(digit.labels.end(), digits[i].labels.begin(), digits[i].labels.end());
      digits.erase(digits.begin() + static_cast<std::ptrdiff_t>(i));
      i = 0;
    }
    digits.push_back(digit);
  }
  return digits;
}

// The parts that may be strokes of digits, the largest first: large enough, or a fragment beside such a one.
std::vector<int> strokes_among(const std::vector<Part>& parts, float threshold) {
  std::vector<int> order(parts.size());
  std::iota(order.begin(), order.end(), 0);
  const auto part = [&](int label) -> const Part& { return parts[static_cast<std::size_t>(label)]; };
  const auto mean = [&](int label) { return part(label).sum / part(label).area; };
  std::erase_if(order, [&](int label) { return part(label).peak < threshold; });
  std::ranges::stable_sort(order, [&](int a, int b) { return part(a).area > part(b).area; });
  std::vector<int> kept;
  double strongest = 0;
  for (const int label : order) {
    if (part(label).area < kLeastFragment * part(order.front()).area) break;
    const bool large = part(label).area >= kLeastShare * part(order.front()).area;
    const auto beside = [&](int other) { return belong_together(part(other).box, part(label).box); };
    if (!large && std::ranges::none_of(kept, beside)) continue;
    kept.push_back(label);
    if (large) strongest = std::max(strongest, mean(label));
  }
  std::erase_if(kept, [&](int label) { return mean(label) < kLeastMean * strongest; });
  return kept;
}

// Row by row, left to right: a digit belongs to the row of the topmost one left if that one's middle is beside it.
void sort_for_reading(std::vector<Digit>& digits) {
  auto row = digits.begin();
  while (row != digits.end()) {
    std::sort(row, digits.end(), [](const Digit& a, const Digit& b) { return a.box.top < b.box.top; });
    const PixelBox first = row->box;
    const auto end = std::stable_partition(row, digits.end(), [&](const Digit& digit) {
      return (digit.box.top + digit.box.bottom) / 2 < first.bottom;
    });
    std::sort(row, end, [](const Digit& a, const Digit& b) { return a.box.left < b.box.left; });
    row = end;
  }
}

// The digit's own pixels, and those around them that belong to no other part: the blurred edges of its strokes.
DigitInk ink_of_digit(const Plane& strength, const Parts& found, const Digit& digit) {
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
      const auto i = static_cast<std::size_t>(y * strength.width + x);
      bool near = own(found.labels[i]);
      if (near) strokes.push_back(strength.values[i]);
      if (found.labels[i] < 0)
        for_neighbours(strength, y, x, kMargin,
                       [&](int next) { near = near || own(found.labels[static_cast<std::size_t>(next)]); });
      result.ink.values.push_back(near ? strength.values[i] : 0);
    }
  // Large digits are clipped where four fifths of their ink is stronger... a small one's pixels keep their values.
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
  for (int round = 0; round < kRounds; ++round) {
    threshold = otsu_threshold(strength, kLeastStrength);
    found = connected_parts(strength, std::max(kLeastStrength, kHysteresis * threshold));
    if (!erase_edges(strength, found, threshold)) break;
  }
  std::vector<Digit> digits = put_together(found, strokes_among(found.parts, threshold));
  int tallest = 0;
  for (const Digit& digit : digits) tallest = std::max(tallest, digit.box.height());
  std::erase_if(digits, [&](const Digit& digit) { return digit.box.height() < kLeastHeight * tallest; });
  sort_for_reading(digits);
  std::vector<DigitInk> result;
  for (const Digit& digit : digits) result.push_back(ink_of_digit(strength, found, digit));
  return result;
}

}  // namespace trainer
