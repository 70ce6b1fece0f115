#include "text/space_cleaner.h"

#include <algorithm>

namespace phial {

SpaceCleaner::SpaceCleaner()
    : replacements_{{" .", ".", {}},     {" ?", "?", {}},     {" !", "!", {}},   {" ,", ",", {}},
                    {" ' ", "'", {}},    {" n't", "n't", {}}, {" 'm", "'m", {}}, {" 's", "'s", {}},
                    {" 've", "'ve", {}}, {" 're", "'re", {}}} {}

std::string SpaceCleaner::Replacement::push(std::string_view text, bool last) {
  held += text;
  std::string out;
  size_t done = 0;
  for (size_t at = held.find(from); at != std::string::npos; at = held.find(from, done)) {
    out.append(held, done, at - done);
    out += to;
    done = at + from.size();
  }
  size_t keep = last ? 0 : std::min(from.size() - 1, held.size() - done);
  while (keep > 0 && !from.starts_with(std::string_view(held).substr(held.size() - keep))) --keep;
  out.append(held, done, held.size() - done - keep);
  held.erase(0, held.size() - keep);
  return out;
}

std::string SpaceCleaner::run(std::string_view text, bool last) {
  std::string current(text);
  for (Replacement& replacement : replacements_) current = replacement.push(current, last);
  return current;
}

std::string SpaceCleaner::push(std::string_view text) { return run(text, false); }

std::string SpaceCleaner::finish() { return run({}, true); }

}  // namespace phial
