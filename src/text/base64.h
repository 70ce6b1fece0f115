// Base64 (RFC 4648), the standard alphabet with padding.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace phial {

// The bytes that `text` stands for; nothing when it is not base64.
std::optional<std::string> base64_decode(std::string_view text);
std::string base64_encode(std::string_view bytes);

}  // namespace phial
