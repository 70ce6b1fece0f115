// Floors: the least shares of their probes that rows of a benchmark may have.
//
//   {"sets": [{"when": {"isa": "avx512", "grid": ["q4_0", "q4_k"]},
//              "floors": {"prefill_512": 80, "decode_depth_0": 92},
//              "required": true}]}
//
// A set applies when each member of `when` equals, or one of its list equals, what the report says:
// isa, compute, kv of its settings, name, grid and architecture of its model, int8_method and its
// like of its probes. Rows that were not measured are passed over unless the set is `required`.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace phial {

class BenchFloors {
 public:
  // `where` names the text in errors. damaged: no JSON, or not as above.
  static Result<BenchFloors> parse(std::string_view text, std::string_view where);

  // [{"name","percent_of_probe","floor","holds"}] for a report of bench_model. usage: no set
  // applies; a required row was not measured; a row is no share of anything.
  Result<Json> check(const Json& report) const;

 private:
  struct Set {
    std::vector<Json::Member> when;  // conditions
    std::vector<std::pair<std::string, double>> floors;
    bool required = false;
  };
  static Result<Set> parse_set(const Json& json, std::string_view where);

  std::string where_;
  std::vector<Set> sets_;
};

}  // namespace phial
