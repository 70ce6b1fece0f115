// What the command reads: files that options name, and stdin.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "output.h"

namespace phial_cli {

// All bytes of the file at `path`, or of stdin for "-". Regular files, pipes and character devices
// are read, folders are not; opening never waits. Throws phial::Error (not_found, io_error,
// invalid_input, over_limit).
std::string read_input(const std::string& path);

// How the source is called in messages: "stdin" for "-".
std::string input_name(const std::string& path);

// One JSON value, for what the command itself must look into. `where` names the text and `hint`
// says what it should be, in errors (invalid_input).
Json parse_json(std::string_view json, const std::string& where, const std::string& hint);

// A JSON array of token ids. `where` names it in errors (invalid_input).
std::vector<int32_t> parse_ids(std::string_view json, const std::string& where);

// Calls `on_line` with each line of stdin, without its LF; a last line needs none. Throws as
// read_input.
void for_each_stdin_line(const std::function<void(std::string_view line)>& on_line);

}  // namespace phial_cli
