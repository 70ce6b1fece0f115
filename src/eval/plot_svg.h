// Plots as SVG text that stands alone: no library, no script, no fonts but the viewer's own.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace phial {

struct PlotPoint {
  double x = 0, y = 0;
  std::string label;  // what the viewer shows when the point is pointed at
};

struct PlotSeries {
  std::string name;  // in the legend; empty: not there
  std::vector<PlotPoint> points;
  bool joined = true;     // by a line, in their order
  bool labelled = false;  // labels stand beside the points
};

struct PlotAxis {
  std::string title;
  std::string unit;  // behind the numbers
  // Places with names of their own; empty: round numbers from zero on.
  std::vector<std::pair<double, std::string>> ticks;
};

struct PlotPanel {
  std::string title;
  PlotAxis x, y;
  std::vector<PlotSeries> series;
};

// The panels one below the other under a title, each with axes, grid lines and legend; a panel
// without points says so. Ink and paper follow the viewer's light or dark colours; those of the
// series are legible on both, and for the colour-blind (Okabe and Ito's palette). Points that are
// not finite are left out. Texts are escaped. The same panels give the same bytes.
std::string plot_svg(const std::string& title, const std::string& subtitle,
                     std::span<const PlotPanel> panels);

// Round numbers, 1, 2 or 5 times a power of ten apart, from 0 to the first that reaches `most`: at
// most eight of them. {0, 1} for a `most` that is not above 0 or not finite.
std::vector<double> round_ticks(double most);

}  // namespace phial
