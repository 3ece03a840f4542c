// A plot of lines as a figure with inline SVG: it needs no script, scales with the page and prints. Lines
// differ by colour, dashes and the shape of their points, so that neither colour-blind eyes nor a printer
// lose them; every point tells its numbers when it is pointed at.
#pragma once

#include <string>
#include <vector>

#include "trainer/report/report_axis.hpp"

namespace trainer {

struct PlotPoint {
  double x = 0;
  double y = 0;      // NaN or infinite: a gap in the line
  std::string text;  // what it tells: "epoch 3: 98.91 %"
};

struct PlotLine {
  std::string name;
  int style = 0;  // which colour, dashes and shape
  std::vector<PlotPoint> points;
};

struct Plot {
  std::string title;  // with the unit: "Test accuracy, %"
  std::string x_title;
  Axis x, y;
  std::vector<PlotLine> lines;
  std::string note;  // below it, where not empty
};

// At most `most` points (4 at least): the first, the last, and what is highest, lowest and a gap in between,
// so that no spike and no gap is lost.
std::vector<PlotPoint> thinned(const std::vector<PlotPoint>& points, std::size_t most);

// <figure>, with a legend where there is more than one line.
std::string plot_figure(const Plot& plot);

// A piece of line as the plots draw it, for a legend or a table.
std::string line_swatch(int style);

}  // namespace trainer
