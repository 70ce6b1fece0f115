// Jinja's grammar, as jinja2 3.1 parses it with the extensions that Hugging Face loads (loop
// controls and generation blocks).
#pragma once

#include <memory>
#include <string_view>

#include "base/status.h"
#include "text/chat_template.h"
#include "text/jinja_ast.h"

namespace phial::jinja {

// Parses and analyses. Errors: damaged (with line number), unsupported (a construct of Jinja that
// phial lacks: inheritance, import, include, autoescape), over_limit (nested too deep, too large).
Result<std::unique_ptr<Template>> parse_template(std::string_view source, std::string_view name,
                                                 const TemplateLimits& limits);

}  // namespace phial::jinja
