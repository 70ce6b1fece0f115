// The names that every template knows: namespace, range, dict, cycler, joiner, raise_exception and
// strftime_now.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/jinja_runtime.h"

namespace phial::jinja {

// namespace(...): the one object whose attributes a template can assign.
class Namespace final : public Object {
 public:
  std::string_view type_name() const override { return "TemplateNamespace"; }
  int depth() const override { return depth_; }
  Result<Value> attribute(Runtime& rt, std::string_view name) override;
  Status write(Runtime& rt, Builder& out, int depth) override;
  void clear() override {
    members_.clear();
    index_.clear();
  }

  // Raises for names that begin with an underscore.
  Status set(Runtime& rt, std::string_view name, Value value);

 private:
  std::vector<std::pair<std::string, Value>> members_;
  std::unordered_map<std::string, size_t> index_;
  int depth_ = 1;
};

// The global of that name, or "missing".
Result<Value> find_global(Runtime& rt, std::string_view name);

}  // namespace phial::jinja
