// The rows of a benchmark: samples under fixed names, reported as medians.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace phial {

class BenchRows {
 public:
  // Rows come out in the order in which they are declared; those without samples are left out.
  // `probe` says what a share is a share of; empty: the row has none.
  void declare(std::string name, std::string unit, std::string probe = {});
  // REQUIRES: declared; a share if the row has one
  void add(std::string_view name, double value, std::optional<double> percent = std::nullopt);

  // [{"name","value","unit","percent_of_probe","probe","p10","p90","samples"}]: medians, and the
  // range that holds four fifths of the samples. `probe` is left out where there is no share.
  Json to_json() const;

 private:
  struct Row {
    std::string name, unit, probe;
    std::vector<double> values, percents;
  };
  std::deque<Row> rows_;
};

}  // namespace phial
