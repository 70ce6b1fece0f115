#include "eval/plot_svg.h"

#include <gtest/gtest.h>

#include <cmath>
#include <regex>

namespace phial {
namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

PlotPanel panel_of(std::vector<PlotSeries> series) {
  PlotPanel panel;
  panel.title = "Panel";
  panel.x.title = "across";
  panel.y.title = "up";
  panel.y.unit = " %";
  panel.series = std::move(series);
  return panel;
}

TEST(PlotSvg, RoundTicks) {
  using Ticks = std::vector<double>;
  EXPECT_EQ(round_ticks(7), (Ticks{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(round_ticks(7.5), (Ticks{0, 2, 4, 6, 8}));
  EXPECT_EQ(round_ticks(30), (Ticks{0, 5, 10, 15, 20, 25, 30}));
  EXPECT_EQ(round_ticks(0), (Ticks{0, 1}));
  EXPECT_EQ(round_ticks(-3), (Ticks{0, 1}));
  EXPECT_EQ(round_ticks(HUGE_VAL), (Ticks{0, 1}));
  for (const double most : {1e-9, 3.3e-4, 0.1, 0.99, 12.0, 4567.0, 8.1e12}) {
    const Ticks ticks = round_ticks(most);
    EXPECT_GE(ticks.back(), most * (1 - 1e-15));
    EXPECT_LT(ticks[ticks.size() - 2], most);
    EXPECT_LE(ticks.size(), 9u) << most;
    EXPECT_GE(ticks.size(), 4u) << most;
  }
}

TEST(PlotSvg, DrawsEveryPointInside) {
  const PlotPanel panel = panel_of({{.name = "one", .points = {{0, 0, "a"}, {3, 2.5, "b"}}},
                                    {.name = "two", .points = {{7, 91, "c"}}}});
  const std::string svg = plot_svg("Title", "below", {&panel, 1});
  EXPECT_EQ(count(svg, "<polyline"), 2u);
  EXPECT_EQ(count(svg, "<title>"), 4u);  // three points and the whole
  const std::regex circle("<circle cx=\"([0-9.]+)\" cy=\"([0-9.]+)\"");
  size_t circles = 0;
  for (std::sregex_iterator it(svg.begin(), svg.end(), circle), end; it != end; ++it) {
    ++circles;
    EXPECT_LE(std::stod((*it)[1]), 960);
    EXPECT_LE(std::stod((*it)[2]), 446);
  }
  EXPECT_EQ(circles, 5u);  // two of the legend
  EXPECT_NE(svg.find("100 %"), std::string::npos);
  EXPECT_NE(svg.find("prefers-color-scheme:dark"), std::string::npos);
  EXPECT_EQ(svg, plot_svg("Title", "below", {&panel, 1}));
}

TEST(PlotSvg, EscapesTexts) {
  const PlotPanel panel = panel_of({{.name = "<&>\"\n", .points = {{1, 1, "</title><script>"}}}});
  const std::string svg = plot_svg("a<b", "c&d", {&panel, 1});
  EXPECT_NE(svg.find("&lt;&amp;&gt;&quot; <"), std::string::npos);
  EXPECT_EQ(svg.find("<script"), std::string::npos);
  EXPECT_NE(svg.find("a&lt;b"), std::string::npos);
  EXPECT_NE(svg.find("c&amp;d"), std::string::npos);
}

TEST(PlotSvg, NothingToDraw) {
  const PlotPanel none = panel_of({});
  EXPECT_NE(plot_svg("t", "s", {&none, 1}).find("nothing was measured"), std::string::npos);
  const PlotPanel odd = panel_of({{.name = "x", .points = {{NAN, 1, ""}, {1, HUGE_VAL, ""}}}});
  const std::string svg = plot_svg("t", "s", {&odd, 1});
  EXPECT_NE(svg.find("nothing was measured"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

}  // namespace
}  // namespace phial
