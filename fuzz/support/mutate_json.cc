#include <cstring>

#include "base/json.h"
#include "support/mutate.h"

namespace phial::fuzz {
namespace {

size_t count_nodes(const Json& value) {
  size_t count = 1;
  if (const auto* array = value.if_array()) {
    for (const Json& item : *array) count += count_nodes(item);
  }
  if (const auto* object = value.if_object()) {
    for (const auto& [key, member] : *object) count += count_nodes(member);
  }
  return count;
}

class TreeMutator {
 public:
  TreeMutator(Words words, Choice& choice) : words_(words), choice_(choice) {}

  Json mutate(const Json& root) {
    skip_ = choice_.below(count_nodes(root));
    return rebuilt(root);
  }

 private:
  // A copy of `value`, in which the node that `skip_` counts down to is another.
  Json rebuilt(const Json& value) {
    if (skip_-- == 0) return changed(value);
    if (const auto* array = value.if_array()) {
      Json::Array out;
      for (const Json& item : *array) out.push_back(rebuilt(item));
      return out;
    }
    if (const auto* object = value.if_object()) {
      Json::Object out;
      for (const auto& [key, member] : *object) out.emplace_back(key, rebuilt(member));
      return out;
    }
    return value;
  }

  std::string word() { return words_.empty() ? std::string("x") : std::string(choice_.of(words_)); }

  Json anything() {
    switch (choice_.below(10)) {
      case 0:
        return {};
      case 1:
        return choice_.one_in(2);
      case 2:
      case 3:
        return static_cast<int64_t>(interesting_integer(choice_));
      case 4:
        return Json(interesting_integer(choice_));
      case 5: {
        static constexpr double kReals[] = {0.0, -0.0, 0.5, 1e-45, 1e308, -1e308, 4294967296.5};
        return choice_.of(kReals);
      }
      case 6:
        return std::string(choice_.below(300), "a\xE2\x80\xAE/.\x1B"[choice_.below(7)]);
      case 7:
        return word();
      case 8:
        return nested(choice_.below(150));
      default:
        return choice_.one_in(2) ? Json(Json::Array()) : Json(Json::Object());
    }
  }

  Json nested(size_t depth) {
    Json value = int64_t{1};
    for (size_t i = 0; i < depth; ++i) {
      value = choice_.one_in(2) ? Json(Json::Array{std::move(value)})
                                : Json(Json::Object{{word(), std::move(value)}});
    }
    return value;
  }

  Json changed(const Json& value) {
    if (choice_.one_in(4)) return anything();
    if (const int64_t* integer = value.if_integer()) return changed_integer(*integer);
    if (const std::string* text = value.if_string()) {
      return choice_.one_in(4) ? Json(word()) : Json(mutate_bytes(*text, words_, choice_));
    }
    if (const auto* array = value.if_array()) return changed_array(*array);
    if (const auto* object = value.if_object()) return changed_object(*object);
    return anything();
  }

  Json changed_integer(int64_t value) {
    switch (choice_.below(4)) {
      case 0:
        return static_cast<int64_t>(static_cast<uint64_t>(value) + choice_.below(5) - 2);
      case 1:
        return static_cast<int64_t>(static_cast<uint64_t>(value) << choice_.below(32));
      case 2:
        return static_cast<int64_t>(uint64_t{0} - static_cast<uint64_t>(value));
      default:
        return static_cast<double>(value) + 0.5;
    }
  }

  Json changed_array(Json::Array items) {
    const size_t at = choice_.below(items.size() + 1);
    switch (choice_.below(4)) {
      case 0:
        items.insert(items.begin() + static_cast<ptrdiff_t>(at), anything());
        break;
      case 1:
        items.resize(at);
        break;
      case 2:
        if (!items.empty()) items.push_back(choice_.of(items));
        break;
      default:
        if (!items.empty()) std::swap(choice_.of(items), choice_.of(items));
    }
    return items;
  }

  Json changed_object(Json::Object members) {
    if (members.empty() || choice_.one_in(3)) {
      members.emplace_back(word(), anything());
      return members;
    }
    Json::Member& member = choice_.of(members);
    switch (choice_.below(4)) {
      case 0:
        members.erase(members.begin() + static_cast<ptrdiff_t>(choice_.below(members.size())));
        break;
      case 1:
        members.push_back(Json::Member(member));  // a key twice
        break;
      case 2:
        member.first = choice_.one_in(2) ? word() : mutate_bytes(member.first, words_, choice_);
        break;
      default:
        std::swap(member.second, choice_.of(members).second);
    }
    return members;
  }

  const Words words_;
  Choice& choice_;
  size_t skip_ = 0;
};

}  // namespace

std::string mutate_json(const std::string& input, Words words, Choice& choice) {
  auto value = parse_json(input, "seed");
  if (!value.ok() || choice.one_in(16)) return mutate_bytes(input, words, choice);
  for (size_t rounds = 1 + choice.below(3); rounds > 0; --rounds) {
    *value = TreeMutator(words, choice).mutate(*value);
  }
  return to_text(*value);
}

std::string mutate_safetensors(const std::string& input, Words words, Choice& choice) {
  uint64_t length = 0;
  if (input.size() >= sizeof(length)) std::memcpy(&length, input.data(), sizeof(length));
  if (input.size() < sizeof(length) || length > input.size() - sizeof(length) ||
      choice.one_in(16)) {
    return mutate_bytes(input, words, choice);
  }
  std::string header = input.substr(sizeof(length), length);
  std::string data = input.substr(sizeof(length) + length);
  if (!choice.one_in(8)) header = mutate_json(header, words, choice);
  if (choice.one_in(8)) data.resize(choice.below(data.size() + 17));
  length = choice.one_in(16) ? interesting_integer(choice) : header.size();
  std::string out(sizeof(length), '\0');
  std::memcpy(out.data(), &length, sizeof(length));
  return out + header + data;
}

}  // namespace phial::fuzz
