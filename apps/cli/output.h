// Where the command's words go: results to stdout, everything else to stderr.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <phial/phial.hpp>
#include <string>
#include <string_view>

namespace phial_cli {

using Json = nlohmann::ordered_json;

// Thrown when the reader of stdout has gone away (`phial ... | head`): no failure, nothing to say.
struct ReaderGone {};

// Writes all of `text` to stdout at once. Throws ReaderGone, or phial::Error (io_error).
void write_stdout(std::string_view text);
// One object on one line.
void write_json(const Json& value);
// A line on stderr, "phial: ...".
void write_stderr(std::string_view text);

// Prints an error the way that was asked for and returns its exit code.
int report_error(const phial::Error& error, bool json);

bool stdout_is_terminal();
bool stderr_is_terminal();
// A terminal that shows colours, and a user who wants them (https://no-color.org).
bool stdout_takes_colours();

// Makes file descriptors 0, 1 and 2 exist, so that no file that is opened later becomes one of
// them. What was closed stays unusable; returns whether stdin was open.
bool reserve_standard_streams();

// `text` (of at most a few hundred bytes) without control characters, fit for a terminal.
std::string printable(std::string_view text);

// "134,515,008"; "134.5 M"; "98.9 MB" (powers of ten).
std::string grouped(int64_t value);
std::string human_count(double value);
std::string human_bytes(double value);

// Rounded to a thousandth: what clocks tell.
double rounded(double value);

}  // namespace phial_cli
