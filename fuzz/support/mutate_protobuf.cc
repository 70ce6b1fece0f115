#include <optional>

#include "support/mutate.h"

namespace phial::fuzz {
namespace {

// One field of a message: its key (number and wire type) and its payload; of a length-delimited one
// without the length.
struct Field {
  uint64_t key = 0;
  std::string payload;
};

constexpr uint64_t kDelimited = 2;

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

std::optional<uint64_t> take_varint(std::string_view& in) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !in.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(in.front());
    in.remove_prefix(1);
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

// Nothing when the bytes are no message.
std::optional<std::vector<Field>> split_message(std::string_view in) {
  std::vector<Field> fields;
  while (!in.empty()) {
    const auto key = take_varint(in);
    if (!key) return std::nullopt;
    size_t length = 0;
    switch (*key & 7) {
      case 0: {
        const std::string_view before = in;
        if (!take_varint(in)) return std::nullopt;
        length = before.size() - in.size();
        in = before;
        break;
      }
      case 1:
        length = 8;
        break;
      case kDelimited: {
        const auto announced = take_varint(in);
        if (!announced || *announced > in.size()) return std::nullopt;
        length = static_cast<size_t>(*announced);
        break;
      }
      case 5:
        length = 4;
        break;
      default:
        return std::nullopt;
    }
    if (length > in.size()) return std::nullopt;
    fields.push_back({*key, std::string(in.substr(0, length))});
    in.remove_prefix(length);
  }
  return fields;
}

std::string join_message(const std::vector<Field>& fields, Choice& choice) {
  std::string out;
  for (const Field& field : fields) {
    out += varint(field.key);
    if ((field.key & 7) == kDelimited) {
      out += varint(choice.one_in(2000) ? interesting_integer(choice) : field.payload.size());
    }
    out += field.payload;
  }
  return out;
}

}  // namespace

std::string mutate_protobuf(const std::string& input, Words words, Choice& choice) {
  auto fields = split_message(input);
  if (!fields || fields->empty() || choice.one_in(16)) return mutate_bytes(input, words, choice);
  const size_t at = choice.below(fields->size());
  Field& field = (*fields)[at];
  switch (choice.below(8)) {
    case 0:
      fields->erase(fields->begin() + static_cast<ptrdiff_t>(at));
      break;
    case 1:
      fields->push_back(Field(field));
      break;
    case 2:
      std::swap(field, choice.of(*fields));
      break;
    case 3:
      field.key = (choice.below(20) << 3) | choice.below(8);
      break;
    default:  // a message inside, or a number or text
      if ((field.key & 7) == kDelimited) {
        field.payload = mutate_protobuf(field.payload, words, choice);
      } else if ((field.key & 7) == 0) {
        field.payload = varint(interesting_integer(choice));
      } else {
        for (char& byte : field.payload) byte = static_cast<char>(choice.bits());
      }
  }
  return join_message(*fields, choice);
}

}  // namespace phial::fuzz
