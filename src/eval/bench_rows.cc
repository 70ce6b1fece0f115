#include "eval/bench_rows.h"

#include <algorithm>
#include <utility>

#include "eval/probes.h"

namespace phial {

void BenchRows::declare(std::string name, std::string unit, std::string probe) {
  rows_.push_back({std::move(name), std::move(unit), std::move(probe), {}, {}});
}

void BenchRows::add(std::string_view name, double value, std::optional<double> percent) {
  const auto row =
      std::find_if(rows_.begin(), rows_.end(), [&](const Row& r) { return r.name == name; });
  row->values.push_back(value);
  if (percent) row->percents.push_back(*percent);
}

Json BenchRows::to_json() const {
  Json rows{Json::Array()};
  for (const Row& row : rows_) {
    if (row.values.empty()) continue;
    Json entry;
    entry.set("name", row.name);
    entry.set("value", median_of(row.values));
    entry.set("unit", row.unit);
    entry.set("percent_of_probe", row.percents.empty() ? Json() : Json(median_of(row.percents)));
    if (!row.percents.empty()) entry.set("probe", row.probe);
    entry.set("p10", quantile_of(row.values, 0.1));
    entry.set("p90", quantile_of(row.values, 0.9));
    entry.set("samples", uint64_t{row.values.size()});
    rows.push(std::move(entry));
  }
  return rows;
}

}  // namespace phial
