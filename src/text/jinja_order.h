// Jinja's filters that sort: sort, dictsort, groupby.
#pragma once

#include "text/jinja_filters.h"

namespace phial::jinja {

Result<Value> filter_sort(Runtime& rt, const Value& self, CallArgs& args);
Result<Value> filter_dictsort(Runtime& rt, const Value& self, CallArgs& args);
Result<Value> filter_groupby(Runtime& rt, const Value& self, CallArgs& args);

}  // namespace phial::jinja
