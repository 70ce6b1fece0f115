#include "eval/plot_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace phial {
namespace {

// Okabe and Ito, with grey, olive and violet in place of black and yellow, which one of the two
// papers swallows.
constexpr std::array kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
                                 "#56b4e9", "#888888", "#8c7a2b", "#8a63d2"};

// In pixels.
constexpr double kWidth = 960;
constexpr double kHeader = 66;
constexpr double kPanelHeight = 380;
constexpr double kPlotLeft = 86;
constexpr double kPlotRight = 770;  // the legend stands to the right
constexpr double kPlotTop = 44;     // below the panel's beginning
constexpr double kPlotBottom = 312;
constexpr double kTickRoom = 46;  // that a tick's name needs on the x axis

constexpr char kStyle[] =
    "<style>"
    "svg{background:#ffffff;font:13px system-ui,sans-serif}"
    "text{fill:#1f2328}.soft{fill:#57606a}.grid{stroke:#d8dee4}.axis{stroke:#57606a}"
    "@media(prefers-color-scheme:dark){svg{background:#0d1117}text{fill:#e6edf3}"
    ".soft{fill:#9198a1}.grid{stroke:#2a313c}.axis{stroke:#9198a1}}"
    "</style>\n";

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // XML has no place for control characters.
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string text_at(double x, double y, const std::string& attributes, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\"{}>{}</text>\n", x, y, attributes,
                     escaped(text));
}

std::string line_of(const char* kind, double x1, double y1, double x2, double y2) {
  return fmt::format(
      "<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", kind, x1,
      y1, x2, y2);
}

bool drawable(const PlotPoint& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

class PanelWriter {
 public:
  PanelWriter(const PlotPanel& panel, double top) : panel_(panel), top_(top) {
    double most_x = 0, most_y = 0;
    for (const PlotSeries& series : panel.series) {
      for (const PlotPoint& point : series.points) {
        if (!drawable(point)) continue;
        ++points_;
        most_x = std::max(most_x, point.x);
        most_y = std::max(most_y, point.y);
      }
    }
    ticks_x_ = ticks_of(panel.x, most_x);
    ticks_y_ = ticks_of(panel.y, most_y);
    if (panel.x.ticks.empty()) {
      end_x_ = ticks_x_.back().first;
    } else {
      // Half a step of air to both sides of named places.
      begin_x_ = ticks_x_.front().first - 0.5;
      end_x_ = std::max(ticks_x_.back().first, most_x) + 0.5;
    }
    end_y_ = ticks_y_.back().first;
  }

  std::string write() {
    out_ += text_at(kPlotLeft, top_ + 22, " font-size=\"15\" font-weight=\"600\"", panel_.title);
    if (points_ == 0) {
      out_ += text_at(kPlotLeft, top_ + 60, " class=\"soft\"", "nothing was measured");
      return std::move(out_);
    }
    write_axes();
    for (size_t i = 0; i < panel_.series.size(); ++i) write_series(i);
    return std::move(out_);
  }

 private:
  using Ticks = std::vector<std::pair<double, std::string>>;

  static Ticks ticks_of(const PlotAxis& axis, double most) {
    if (!axis.ticks.empty()) return axis.ticks;
    Ticks ticks;
    // {:.6g} leaves no trace of how 0.1 is stored, nor zeros behind the point.
    for (const double at : round_ticks(most)) {
      ticks.emplace_back(at, fmt::format("{:.6g}{}", at, axis.unit));
    }
    return ticks;
  }

  double pixel_x(double x) const {
    return kPlotLeft + (x - begin_x_) / (end_x_ - begin_x_) * (kPlotRight - kPlotLeft);
  }
  double pixel_y(double y) const {
    return top_ + kPlotBottom - y / end_y_ * (kPlotBottom - kPlotTop);
  }

  void write_axes() {
    for (const auto& [at, name] : ticks_y_) {
      const double y = pixel_y(at);
      out_ += line_of("grid", kPlotLeft, y, kPlotRight, y);
      out_ += text_at(kPlotLeft - 8, y + 4, " class=\"soft\" text-anchor=\"end\"", name);
    }
    double free_from = -HUGE_VAL;
    for (const auto& [at, name] : ticks_x_) {
      const double x = pixel_x(at);
      out_ += line_of("axis", x, top_ + kPlotBottom, x, top_ + kPlotBottom + 4);
      if (x < free_from) continue;
      free_from = x + kTickRoom;
      out_ += text_at(x, top_ + kPlotBottom + 20, " class=\"soft\" text-anchor=\"middle\"", name);
    }
    out_ += line_of("axis", kPlotLeft, top_ + kPlotBottom, kPlotRight, top_ + kPlotBottom);
    out_ += line_of("axis", kPlotLeft, top_ + kPlotTop, kPlotLeft, top_ + kPlotBottom);
    out_ += text_at((kPlotLeft + kPlotRight) / 2, top_ + kPlotBottom + 44,
                    " text-anchor=\"middle\"", panel_.x.title);
    const double middle = top_ + (kPlotTop + kPlotBottom) / 2;
    out_ +=
        text_at(22, middle,
                fmt::format(" text-anchor=\"middle\" transform=\"rotate(-90 22 {:.1f})\"", middle),
                panel_.y.title);
  }

  void write_series(size_t index) {
    const PlotSeries& series = panel_.series[index];
    const char* colour = kColours[index % kColours.size()];
    std::string path;
    std::string marks;
    for (const PlotPoint& point : series.points) {
      if (!drawable(point)) continue;
      const double x = pixel_x(point.x), y = pixel_y(point.y);
      path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", x, y);
      marks += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" fill=\"{}\"><title>{}</title></circle>\n",
          x, y, series.labelled ? 5 : 3, colour, escaped(point.label));
      if (series.labelled) marks += text_at(x + 9, y - 7, "", point.label);
    }
    if (path.empty()) return;
    if (series.joined) {
      out_ += fmt::format(
          "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\" points=\"{}\"/>\n", colour,
          path);
    }
    out_ += marks;
    if (series.name.empty()) return;
    const double y = top_ + kPlotTop + 8 + 22 * static_cast<double>(legend_lines_++);
    out_ += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\" fill=\"{}\"/>\n",
                        kPlotRight + 22, y, colour);
    out_ += text_at(kPlotRight + 34, y + 4, "", series.name);
  }

  const PlotPanel& panel_;
  double top_;
  size_t points_ = 0;
  size_t legend_lines_ = 0;
  Ticks ticks_x_, ticks_y_;
  double begin_x_ = 0, end_x_ = 1, end_y_ = 1;
  std::string out_;
};

}  // namespace

std::vector<double> round_ticks(double most) {
  constexpr double kMostSteps = 7;
  if (!std::isfinite(most) || most <= 0) return {0, 1};
  const double power = std::pow(10.0, std::floor(std::log10(most / kMostSteps)));
  double step = power;
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    step = factor * power;
    if (most <= kMostSteps * step) break;
  }
  std::vector<double> ticks{0};
  while (ticks.back() < most) ticks.push_back(step * static_cast<double>(ticks.size()));
  return ticks;
}

std::string plot_svg(const std::string& title, const std::string& subtitle,
                     std::span<const PlotPanel> panels) {
  const double height = kHeader + kPanelHeight * static_cast<double>(panels.size());
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0f} {:.0f}\" width=\"{:.0f}\" "
      "height=\"{:.0f}\" role=\"img\">\n<title>{}</title>\n",
      kWidth, height, kWidth, height, escaped(title));
  out += kStyle;
  out += text_at(24, 30, " font-size=\"18\" font-weight=\"600\"", title);
  out += text_at(24, 52, " class=\"soft\"", subtitle);
  double top = kHeader;
  for (const PlotPanel& panel : panels) {
    out += PanelWriter(panel, top).write();
    top += kPanelHeight;
  }
  out += "</svg>\n";
  return out;
}

}  // namespace phial
