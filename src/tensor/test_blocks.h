// Encoded rows for tests of all rooms (tensor/random_rows.h), under the name of their helpers.
#pragma once

#include "tensor/random_rows.h"

namespace phial::test {

using phial::f16_scale_offsets;
using phial::fill_row;
using phial::set_scales;

}  // namespace phial::test
