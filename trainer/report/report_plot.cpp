#include "trainer/report/report_plot.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "trainer/report/report_html.hpp"

namespace trainer {

namespace {

// The drawing's own units; the page scales it to its column.
constexpr double kPlotWidth = 480, kPlotHeight = 270;
constexpr double kPlotLeft = 60, kPlotRight = 14, kPlotTop = 12, kPlotBottom = 44;
constexpr std::size_t kMostPoints = 160;
constexpr std::size_t kMostMarkers = 32;  // more would hide the line

constexpr int kColours = 6, kDashes = 5, kShapes = 4;

struct Spot {
  double x, y;
};

class Canvas {
 public:
  explicit Canvas(const Plot& plot) : plot_(plot) {}

  double x(double value) const {
    return kPlotLeft + plot_.x.position(value) * (kPlotWidth - kPlotLeft - kPlotRight);
  }
  double y(double value) const {
    return kPlotHeight - kPlotBottom - plot_.y.position(value) * (kPlotHeight - kPlotTop - kPlotBottom);
  }
  Spot spot(const PlotPoint& point) const { return {x(point.x), y(point.y)}; }

 private:
  const Plot& plot_;
};

std::string style_classes(int style) {
  return fmt::format("c{} d{}", style % kColours, style % kDashes);
}

// Circle, square, diamond, triangle: alike in area.
std::string marker_path(Spot at, int style) {
  switch (style % kShapes) {
    case 1:
      return fmt::format("M{:.1f} {:.1f}h6v6h-6z", at.x - 3, at.y - 3);
    case 2:
      return fmt::format("M{:.1f} {:.1f}l4.2 4.2l-4.2 4.2l-4.2 -4.2z", at.x, at.y - 4.2);
    case 3:
      return fmt::format("M{:.1f} {:.1f}l4.4 7.4h-8.8z", at.x, at.y - 4.6);
    default:
      return fmt::format("M{:.1f} {:.1f}a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0z", at.x - 3.4, at.y);
  }
}

std::string grid(const Plot& plot, const Canvas& canvas) {
  std::string svg;
  for (const AxisTick& tick : plot.y.ticks) {
    const double y = canvas.y(tick.value);
    svg += fmt::format(
        "<path class=\"grid\" d=\"M{} {:.1f}H{}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1f}\" "
        "text-anchor=\"end\">{}</text>\n",
        kPlotLeft, y, kPlotWidth - kPlotRight, kPlotLeft - 7, y + 4.5, tick.label);
  }
  const double bottom = kPlotHeight - kPlotBottom;
  for (const AxisTick& tick : plot.x.ticks) {
    const double x = canvas.x(tick.value);
    svg += fmt::format(
        "<path class=\"axis\" d=\"M{:.1f} {}v5\"/><text class=\"tick\" x=\"{:.1f}\" y=\"{}\" "
        "text-anchor=\"middle\">{}</text>\n",
        x, bottom, x, bottom + 20, tick.label);
  }
  svg += fmt::format("<path class=\"axis\" d=\"M{} {}H{}\"/>\n", kPlotLeft, bottom, kPlotWidth - kPlotRight);
  return svg + fmt::format("<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n",
                           kPlotWidth - kPlotRight, kPlotHeight - 6, escaped(plot.x_title));
}

std::string line_path(const std::vector<PlotPoint>& points, const Canvas& canvas) {
  std::string path;
  bool drawing = false;
  for (const PlotPoint& point : points) {
    if (!std::isfinite(point.y)) {
      drawing = false;
      continue;
    }
    const Spot spot = canvas.spot(point);
    path += fmt::format("{}{:.1f} {:.1f}", drawing ? "L" : "M", spot.x, spot.y);
    drawing = true;
  }
  return path;
}

// Where points are dense, only what tells their numbers stands there, unseen.
std::string markers(const PlotLine& line, const std::vector<PlotPoint>& points, const Canvas& canvas) {
  const bool shown = points.size() <= kMostMarkers;
  std::string svg;
  for (const PlotPoint& point : points) {
    if (!std::isfinite(point.y)) continue;
    const Spot spot = canvas.spot(point);
    svg += fmt::format("<path class=\"{}\" d=\"{}\"><title>{}</title></path>\n",
                       shown ? fmt::format("marker c{}", line.style % kColours) : "unseen",
                       marker_path(spot, line.style), escaped(point.text));
  }
  return svg;
}

std::string drawn_line(const PlotLine& line, const Canvas& canvas) {
  const std::vector<PlotPoint> points = thinned(line.points, kMostPoints);
  return fmt::format("<path class=\"line {}\" d=\"{}\"/>\n{}", style_classes(line.style),
                     line_path(points, canvas), markers(line, points, canvas));
}

std::string legend(const Plot& plot) {
  if (plot.lines.size() < 2) return "";
  std::string html = "<ul class=\"legend\">";
  for (const PlotLine& line : plot.lines)
    html += fmt::format("<li>{} {}</li>", line_swatch(line.style), escaped(line.name));
  return html + "</ul>";
}

// In the order of the line: the lowest, the highest and the first gap of [begin, end).
void append_extremes(const std::vector<PlotPoint>& points, std::size_t begin, std::size_t end,
                     std::vector<PlotPoint>& kept) {
  const auto finite = [&](std::size_t i) { return std::isfinite(points[i].y); };
  std::vector<std::size_t> chosen;
  std::size_t lowest = end, highest = end, gap = end;
  for (std::size_t i = begin; i < end; ++i) {
    if (!finite(i)) {
      if (gap == end) gap = i;
      continue;
    }
    if (lowest == end || points[i].y < points[lowest].y) lowest = i;
    if (highest == end || points[i].y > points[highest].y) highest = i;
  }
  for (const std::size_t i : {lowest, highest, gap})
    if (i != end && std::find(chosen.begin(), chosen.end(), i) == chosen.end()) chosen.push_back(i);
  std::sort(chosen.begin(), chosen.end());
  for (const std::size_t i : chosen) kept.push_back(points[i]);
}

}  // namespace

std::vector<PlotPoint> thinned(const std::vector<PlotPoint>& points, std::size_t most) {
  if (points.size() <= most) return points;
  const std::size_t inner = points.size() - 2;
  const std::size_t buckets = std::max<std::size_t>(1, (most - 2) / 3);
  std::vector<PlotPoint> kept{points.front()};
  for (std::size_t b = 0; b < buckets; ++b)
    append_extremes(points, 1 + inner * b / buckets, 1 + inner * (b + 1) / buckets, kept);
  kept.push_back(points.back());
  return kept;
}

std::string line_swatch(int style) {
  return fmt::format(
      "<svg class=\"swatch\" viewBox=\"0 0 40 14\" aria-hidden=\"true\"><path class=\"line {}\" d=\"M1 "
      "7H39\"/><path class=\"marker c{}\" d=\"{}\"/></svg>",
      style_classes(style), style % kColours, marker_path({20, 7}, style));
}

std::string plot_figure(const Plot& plot) {
  const Canvas canvas(plot);
  std::string html = fmt::format(
      "<figure class=\"plot\">\n<figcaption><h3>{}</h3>{}</figcaption>\n<svg viewBox=\"0 0 {} {}\" "
      "role=\"img\" aria-label=\"{}\">\n",
      escaped(plot.title), legend(plot), kPlotWidth, kPlotHeight, escaped(plot.title));
  html += grid(plot, canvas);
  for (const PlotLine& line : plot.lines) html += drawn_line(line, canvas);
  html += "</svg>\n";
  if (!plot.note.empty()) html += fmt::format("<p class=\"note\">{}</p>\n", escaped(plot.note));
  return html + "</figure>\n";
}

}  // namespace trainer
