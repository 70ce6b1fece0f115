// Conversations in files: what /save writes and /load reads. docs/chat.md describes the format.
#pragma once

#include <phial/phial.hpp>
#include <string>
#include <vector>

#include "command_line.h"
#include "talk.h"

namespace phial_cli {

struct SavedTalk {
  Json messages = Json::array();
  CommandLine::Values options;    // of generation, as ChatSettings holds them
  std::string fingerprint;        // of the model; see model_fingerprint()
  std::vector<Segment> segments;  // what the sequence held
  std::string cache;              // name of the file beside it with the sequence; empty: none
};

// Names what token ids mean: a hash over the tensors' names, types and shapes and the vocabulary.
// The weights' values are not in it.
std::string model_fingerprint(const phial::Model& model);

std::string talk_json(const SavedTalk& talk);
// Checks everything it takes. `where` names the text in errors (invalid_input).
SavedTalk parse_talk(const std::string& json, const std::string& where);

}  // namespace phial_cli
