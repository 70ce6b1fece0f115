#include "text/jinja_value.h"

#include <functional>

#include "text/jinja_ops.h"
#include "text/jinja_runtime.h"

namespace phial::jinja {
namespace {

constexpr size_t kIndexFrom = 12;  // members; below, looking at each is as fast

uint64_t hash_text(std::string_view text) { return std::hash<std::string_view>()(text); }

uint64_t hash_number(double number) { return std::hash<double>()(number); }

}  // namespace

bool Value::is_list() const {
  const ListData* list = if_list();
  return list != nullptr && !list->tuple;
}

bool Value::is_tuple() const {
  const ListData* list = if_list();
  return list != nullptr && list->tuple;
}

bool Value::is_markup() const {
  const StringData* string = if_string();
  return string != nullptr && string->markup;
}

std::optional<int64_t> Value::integral() const {
  if (const int64_t* i = std::get_if<int64_t>(&data_)) return *i;
  if (const bool* b = if_bool()) return *b ? 1 : 0;
  return std::nullopt;
}

std::optional<double> Value::number() const {
  if (const double* d = if_real()) return *d;
  if (const auto i = integral()) return static_cast<double>(*i);
  return std::nullopt;
}

const std::string& Value::text() const { return if_string()->text; }

std::string_view Value::undefined_message() const {
  const auto& data = *std::get_if<0>(&data_);
  return data != nullptr ? std::string_view(data->message) : std::string_view();
}

bool Value::same_as(const Value& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::undefined:
      return std::get_if<0>(&data_)->get() == std::get_if<0>(&other.data_)->get();
    case Kind::none:
      return true;
    case Kind::boolean:
      return *if_bool() == *other.if_bool();
    case Kind::integer:
      return integral() == other.integral();
    case Kind::real:
      return *if_real() == *other.if_real();
    // Python interns most short strings, so that equal ones are one object.
    case Kind::string:
      return text() == other.text();
    case Kind::list:
      return if_list() == other.if_list();
    case Kind::dict:
      return if_dict() == other.if_dict();
    case Kind::object:
      return if_object() == other.if_object();
  }
  return false;
}

int Value::depth() const {
  switch (kind()) {
    case Kind::list:
      return if_list()->depth;
    case Kind::dict:
      return if_dict()->depth;
    case Kind::object:
      return if_object()->depth();
    default:
      return 0;
  }
}

std::string_view Value::type_name() const {
  switch (kind()) {
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::real:
      return "float";
    case Kind::string:
      return is_markup() ? "Markup" : "str";
    case Kind::list:
      return if_list()->tuple ? "tuple" : "list";
    case Kind::dict:
      return "dict";
    case Kind::object:
      return if_object()->type_name();
  }
  return "object";
}

const Value* DictData::find(std::string_view key) const {
  if (index.empty()) {
    for (const Member& member : members) {
      if (member.first.is_string() && member.first.text() == key) return &member.second;
    }
    return nullptr;
  }
  const auto range = index.equal_range(hash_text(key));
  for (auto it = range.first; it != range.second; ++it) {
    const Member& member = members[it->second];
    if (member.first.is_string() && member.first.text() == key) return &member.second;
  }
  return nullptr;
}

Result<const Value*> DictData::find(Runtime& rt, const Value& key, uint64_t hash) const {
  if (key.is_string()) return find(std::string_view(key.text()));
  if (index.empty()) {
    for (const Member& member : members) {
      PHIAL_ASSIGN(const bool same, equals(rt, member.first, key));
      if (same) return &member.second;
    }
    return nullptr;
  }
  const auto range = index.equal_range(hash);
  for (auto it = range.first; it != range.second; ++it) {
    PHIAL_ASSIGN(const bool same, equals(rt, members[it->second].first, key));
    if (same) return &members[it->second].second;
  }
  return nullptr;
}

void DictData::build_index() {
  if (members.size() < kIndexFrom) return;
  index.reserve(members.size());
  for (size_t i = 0; i < members.size(); ++i) {
    index.emplace(hash_of(members[i].first).value_or(0), i);
  }
}

Result<Value> Object::call(Runtime& rt, CallArgs&) {
  return rt.raise("'" + std::string(type_name()) + "' object is not callable");
}

Result<Value> Object::attribute(Runtime&, std::string_view) { return Value(); }

Result<std::unique_ptr<Iterator>> Object::iterate(Runtime&) { return std::unique_ptr<Iterator>(); }

Result<std::optional<int64_t>> Object::length(Runtime&) { return std::optional<int64_t>(); }

Status Object::write(Runtime&, Builder& out, int) {
  return out.add("<" + std::string(type_name()) + " object>");
}

std::optional<uint64_t> hash_of(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::undefined:
      return 1;
    case Value::Kind::none:
      return 2;
    case Value::Kind::boolean:
    case Value::Kind::integer:
    case Value::Kind::real:
      return hash_number(*value.number());
    case Value::Kind::string:
      return hash_text(value.text());
    case Value::Kind::list:
      return value.if_list()->hash;
    case Value::Kind::dict:
      return std::nullopt;
    case Value::Kind::object:
      return std::hash<const void*>()(value.if_object());
  }
  return std::nullopt;
}

}  // namespace phial::jinja
