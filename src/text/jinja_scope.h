// Which variable a name means.
//
// Jinja decides that before a template runs: loops, macros, call, set and filter blocks and `with`
// open frames; `if` does not. A name that a frame assigns belongs to that frame for all of its
// length: it begins as a copy of the variable of that name further out, or undefined. A name that
// no frame assigns is a variable of the rendering. (jinja2/idtracking.py and compiler.py.)
#pragma once

#include "base/status.h"
#include "text/jinja_ast.h"

namespace phial::jinja {

// Gives all names of the template their slots and all filters and tests their functions.
// Errors: unsupported for an unknown filter or test (inside of `if` that waits until it is used, as
// in jinja2), damaged for an assignment to `loop` inside of a loop.
Status analyse_scopes(Template& tree);

}  // namespace phial::jinja
