// Filters over sequences: map, select, sort, groupby and so on.
#pragma once

#include <string_view>

#include "text/jinja_filters.h"

namespace phial::jinja {

// Null when there is none of that name.
const FilterEntry* find_sequence_filter(std::string_view name);

}  // namespace phial::jinja
