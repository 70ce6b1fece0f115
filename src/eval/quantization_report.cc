#include "eval/quantization_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "eval/plot_svg.h"
#include "model/roles.h"
#include "quantize/schemes.h"

namespace phial {
namespace {

constexpr char kWhere[] = "report";
constexpr size_t kWorstTensors = 8;
constexpr int64_t kMostLayers = 10'000;  // that are drawn; reports come from files

// GGUF's name of the role, without the layer: "attn_q".
std::string_view kind_of(Role role) {
  const std::string_view name = role_table()[static_cast<size_t>(role)].gguf;
  constexpr std::string_view kLayer = "blk.#.";
  return name.starts_with(kLayer) ? name.substr(kLayer.size()) : name;
}

double relative(double squared_error, double squared_norm) {
  return squared_norm > 0 ? std::sqrt(squared_error / squared_norm) : 0;
}

double bits_per_weight(uint64_t bytes, int64_t weights) {
  return weights > 0 ? 8.0 * static_cast<double>(bytes) / static_cast<double>(weights) : 0;
}

Json tensor_json(const PlannedTensor& planned, const TensorResult& result) {
  const int64_t weights = result.rows * result.columns;
  Json out;
  out.set("name", result.name);
  out.set("kind", planned.target.is_rope ? std::string_view("rope") : kind_of(planned.target.role));
  out.set("layer", result.layer < 0 ? Json() : Json(result.layer));
  out.set("source_grid", result.source_grid);
  out.set("grid", result.target_grid);
  out.set("rows", result.rows);
  out.set("columns", result.columns);
  out.set("bytes", result.bytes);
  out.set("bits_per_weight", bits_per_weight(result.bytes, weights));
  out.set("exact", result.exact);
  out.set("relative_error", relative(result.squared_error, result.squared_norm));
  if (result.weighted_norm > 0) {
    out.set("weighted_error", relative(result.weighted_error, result.weighted_norm));
  }
  return out;
}

struct GridTotal {
  int64_t tensors = 0;
  int64_t weights = 0;
  uint64_t bytes = 0;
};

Json grids_json(const std::map<std::string, GridTotal>& totals) {
  std::vector<std::pair<std::string, GridTotal>> sorted(totals.begin(), totals.end());
  std::ranges::stable_sort(
      sorted, [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  Json out{Json::Array()};
  for (const auto& [name, total] : sorted) {
    Json grid;
    grid.set("name", name);
    grid.set("tensors", total.tensors);
    grid.set("weights", total.weights);
    grid.set("bytes", total.bytes);
    out.push(std::move(grid));
  }
  return out;
}

Json worst_json(const ConvertResult& result) {
  std::vector<const TensorResult*> sorted;
  for (const TensorResult& tensor : result.tensors) {
    if (!tensor.exact) sorted.push_back(&tensor);
  }
  std::ranges::stable_sort(sorted, [](const TensorResult* a, const TensorResult* b) {
    return relative(a->squared_error, a->squared_norm) >
           relative(b->squared_error, b->squared_norm);
  });
  if (sorted.size() > kWorstTensors) sorted.resize(kWorstTensors);
  Json out{Json::Array()};
  for (const TensorResult* tensor : sorted) out.push(tensor->name);
  return out;
}

std::string text_member(const Json& object, std::string_view key) {
  const Json* member = object.find(key);
  const std::string* text = member == nullptr ? nullptr : member->if_string();
  return text == nullptr ? std::string() : *text;
}

std::optional<double> number_member(const Json& object, std::string_view key) {
  const Json* member = object.find(key);
  return member == nullptr ? std::nullopt : member->number();
}

std::string name_of(const Json& report) {
  const std::string name = text_member(report, "name");
  return name.empty() ? text_member(report, "scheme") : name;
}

// One series for each kind of tensor with layers, in the order in which they come, if any of them
// is quantized; what stands outside the layers is a point to the left of them.
Result<PlotPanel> layers_panel(const Json& report) {
  PlotPanel panel;
  panel.title = "Error of each layer";
  panel.x.title = "layer";
  panel.y.title = "relative error";
  panel.y.unit = " %";
  const Json* tensors = report.find("tensors");
  if (tensors == nullptr || tensors->if_array() == nullptr) {
    return invalid_input(kWhere, "the report has no tensors");
  }
  int64_t layers = 0;
  for (const Json& tensor : *tensors->if_array()) {
    const std::string kind = text_member(tensor, "kind");
    const auto error = number_member(tensor, "relative_error");
    if (kind.empty() || !error) {
      return invalid_input(kWhere, "a tensor of the report has no kind or error");
    }
    const int64_t* exact_layer =
        tensor.find("layer") == nullptr ? nullptr : tensor.find("layer")->if_integer();
    const int64_t layer = exact_layer == nullptr ? -1 : *exact_layer;
    if (layer < -1 || layer >= kMostLayers) {
      return invalid_input(kWhere, "a tensor of the report is in layer " + std::to_string(layer));
    }
    layers = std::max(layers, layer + 1);
    auto series = std::ranges::find(panel.series, kind, &PlotSeries::name);
    if (series == panel.series.end()) {
      panel.series.push_back({.name = kind, .points = {}});
      series = panel.series.end() - 1;
    }
    series->points.push_back({static_cast<double>(layer), 100 * *error,
                              fmt::format("{}: {:.3f} %, {}", text_member(tensor, "name"),
                                          100 * *error, text_member(tensor, "grid"))});
  }
  std::erase_if(panel.series, [](const PlotSeries& series) {
    return std::ranges::all_of(series.points, [](const PlotPoint& point) { return point.y == 0; });
  });
  for (PlotSeries& series : panel.series) {
    std::ranges::stable_sort(series.points, {}, &PlotPoint::x);
  }
  panel.x.ticks.emplace_back(-1, "outer");
  for (int64_t layer = 0; layer < layers; ++layer) {
    panel.x.ticks.emplace_back(static_cast<double>(layer), std::to_string(layer));
  }
  return panel;
}

PlotPanel quality_panel(std::span<const Json> reports) {
  PlotPanel panel;
  panel.title = "Size against quality";
  panel.x.title = "bits per weight";
  panel.y.title = "mean KL to the source, nats";
  PlotSeries series{.name = "", .points = {}, .joined = false, .labelled = true};
  for (const Json& report : reports) {
    const Json* quality = report.find("quality");
    const auto bits = number_member(report, "bits_per_weight");
    const auto kl = quality == nullptr ? std::nullopt : number_member(*quality, "kl_mean");
    if (bits && kl) {
      series.points.push_back(
          {*bits, *kl, fmt::format("{}: {:.2f} bits, KL {:.4f}", name_of(report), *bits, *kl)});
    }
  }
  panel.series.push_back(std::move(series));
  return panel;
}

}  // namespace

Json quantization_report(const ConvertPlan& plan, const ConvertResult& result) {
  Json tensors{Json::Array()};
  std::map<std::string, GridTotal> grids;
  int64_t weights = 0;
  double squared_error = 0, squared_norm = 0;
  for (size_t i = 0; i < result.tensors.size(); ++i) {
    const PlannedTensor& planned = plan.tensors[i];
    const TensorResult& tensor = result.tensors[i];
    tensors.push(tensor_json(planned, tensor));
    GridTotal& total = grids[tensor.target_grid];
    const int64_t held = tensor.rows * tensor.columns;
    ++total.tensors;
    total.weights += held;
    total.bytes += tensor.bytes;
    weights += held;
    squared_error += tensor.squared_error;
    squared_norm += tensor.squared_norm;
  }
  Json out;
  out.set("format", format_name(plan.format));
  out.set("scheme", plan.scheme);
  out.set("effort", plan.effort == Effort::fast ? "fast" : "balanced");
  out.set("bytes", result.bytes);
  out.set("bits_per_weight", result.bits_per_weight);
  out.set("source_bytes", plan.source_bytes);
  out.set("exact", std::ranges::all_of(result.tensors, &TensorResult::exact));
  out.set("seconds", result.seconds);
  out.set("peak_anonymous_bytes", result.peak_anonymous_bytes);
  out.set("weights", weights);
  out.set("relative_error", relative(squared_error, squared_norm));
  if (plan.importance != nullptr) {
    Json known;
    known.set("matrices", plan.matrices);
    known.set("known", plan.important);
    out.set("imatrix", std::move(known));
  }
  out.set("grids", grids_json(grids));
  out.set("tensors", std::move(tensors));
  out.set("worst", worst_json(result));
  return out;
}

Result<std::string> quantization_svg(const Json& reports) {
  const Json::Array one{reports};
  const Json::Array& all = reports.if_array() == nullptr ? one : *reports.if_array();
  if (all.empty() || all.front().if_object() == nullptr) {
    return invalid_input(kWhere, "there is no report to draw");
  }
  const Json& first = all.front();
  PHIAL_ASSIGN(PlotPanel layers, layers_panel(first));
  std::vector<PlotPanel> panels{std::move(layers)};
  PlotPanel quality = quality_panel(all);
  if (!quality.series.front().points.empty()) panels.push_back(std::move(quality));
  const std::string title = fmt::format("{}:{}", text_member(first, "format"), name_of(first));
  const std::string subtitle =
      fmt::format("{:.1f} MB, {:.3f} bits per weight, relative error {:.3f} %",
                  number_member(first, "bytes").value_or(0) * 1e-6,
                  number_member(first, "bits_per_weight").value_or(0),
                  100 * number_member(first, "relative_error").value_or(0));
  return plot_svg(title, subtitle, panels);
}

}  // namespace phial
