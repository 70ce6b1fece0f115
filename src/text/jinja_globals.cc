#include "text/jinja_globals.h"

#include <time.h>

#include <limits>

#include "text/jinja_ops.h"

namespace phial::jinja {
namespace {

// The arguments of dict(...) as members: one mapping or list of pairs, then keywords.
Result<std::vector<DictData::Member>> dict_members(Runtime& rt, std::string_view function,
                                                   CallArgs& args) {
  std::vector<DictData::Member> members;
  if (args.positional.size() > 1) {
    return rt.raise(std::string(function) + "() expected at most 1 argument, got " +
                    std::to_string(args.positional.size()));
  }
  if (!args.positional.empty()) {
    const Value& source = args.positional[0];
    if (source.is_undefined()) return rt.raise(source.undefined_message());
    if (const DictData* dict = source.if_dict()) {
      members = dict->members;
    } else {
      PHIAL_ASSIGN(const std::vector<Value> pairs, to_vector(rt, source));
      for (const Value& pair : pairs) {
        PHIAL_ASSIGN(std::vector<Value> parts, to_vector(rt, pair));
        if (parts.size() != 2)
          return rt.raise("dictionary update sequence element has no length 2");
        members.emplace_back(std::move(parts[0]), std::move(parts[1]));
      }
    }
  }
  for (auto& [name, value] : args.named) {
    PHIAL_ASSIGN(Value key, rt.string(name));
    members.emplace_back(std::move(key), std::move(value));
  }
  return members;
}

Result<Value> call_dict(Runtime& rt, const Value&, CallArgs& args) {
  PHIAL_ASSIGN(std::vector<DictData::Member> members, dict_members(rt, "dict", args));
  return rt.dict(std::move(members));
}

Result<Value> call_namespace(Runtime& rt, const Value&, CallArgs& args) {
  PHIAL_ASSIGN(const std::vector<DictData::Member> members, dict_members(rt, "namespace", args));
  auto object = std::make_shared<Namespace>();
  rt.adopt(object);
  PHIAL_ASSIGN(Value out, rt.object(object));
  for (const auto& [key, value] : members) {
    // Keys that are no text cannot be reached as attributes.
    if (key.is_string()) PHIAL_TRY(object->set(rt, key.text(), value));
  }
  return out;
}

Result<Value> call_range(Runtime& rt, const Value&, CallArgs& args) {
  PHIAL_ASSIGN(const std::vector<Value> bound, bind_arguments(rt, "range", args, {"", "", ""}, 1));
  int64_t numbers[3] = {0, 0, 1};
  size_t given = 0;
  for (; given < 3 && !bound[given].missing(); ++given) {
    PHIAL_ASSIGN(numbers[given], to_integer(rt, bound[given], "range() argument"));
  }
  if (given == 1) std::swap(numbers[0], numbers[1]);
  if (numbers[2] == 0) return rt.raise("range() arg 3 must not be zero");
  return make_range(rt, numbers[0], numbers[1], numbers[2]);
}

Result<Value> call_raise_exception(Runtime& rt, const Value&, CallArgs& args) {
  PHIAL_ASSIGN(const std::vector<Value> bound,
               bind_arguments(rt, "raise_exception", args, {"message"}, 1));
  PHIAL_ASSIGN(const std::string message, to_str(rt, bound[0]));
  return rt.raise(message);
}

// datetime.now().strftime(format). Directives are passed on one by one, so that none can write
// more than a small buffer; %f and those of time zones are the ones Python itself handles.
Result<Value> call_strftime_now(Runtime& rt, const Value&, CallArgs& args) {
  PHIAL_ASSIGN(const std::vector<Value> bound,
               bind_arguments(rt, "strftime_now", args, {"format"}, 1));
  PHIAL_ASSIGN(const std::string_view format, expect_string(rt, bound[0], "strftime() argument"));
  const time_t now = static_cast<time_t>(rt.now());
  tm local = {};
  if (localtime_r(&now, &local) == nullptr) return rt.raise("the time is out of range");
  Builder out(rt);
  for (size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      const size_t end = std::min(format.find('%', at), format.size());
      PHIAL_TRY(out.add(format.substr(at, end - at)));
      at = end;
      continue;
    }
    PHIAL_TRY(rt.step());
    size_t end = at + 1;
    while (end < format.size() &&
           std::string_view("_-0^#:EO123456789").find(format[end]) != std::string_view::npos) {
      ++end;
    }
    end = std::min(end + 1, format.size());
    const std::string directive(format.substr(at, end - at));
    at = end;
    if (directive == "%f") {
      PHIAL_TRY(out.add("000000"));
    } else if (directive != "%z" && directive != "%Z" && directive != "%:z") {
      char buffer[256];
      const size_t size = strftime(buffer, sizeof buffer, directive.c_str(), &local);
      PHIAL_TRY(out.add(std::string_view(buffer, size)));
    }
  }
  return rt.string(out.take());
}

class Cycler final : public Object {
 public:
  explicit Cycler(Value items) : items_(std::move(items)) {}
  std::string_view type_name() const override { return "Cycler"; }
  int depth() const override { return items_.depth() + 1; }
  Result<Value> attribute(Runtime& rt, std::string_view name) override {
    if (name == "current") return current();
    if (name == "items") return items_;
    if (name == "pos") return Value(static_cast<int64_t>(at_));
    if (name == "next")
      return method(rt, [](Cycler& cycler) {
        const Value value = cycler.current();
        cycler.at_ = (cycler.at_ + 1) % cycler.items_.if_list()->items.size();
        return value;
      });
    if (name == "reset")
      return method(rt, [](Cycler& cycler) {
        cycler.at_ = 0;
        return Value::none();
      });
    return Value();
  }

 private:
  template <class F>
  Result<Value> method(Runtime& rt, F) {
    const Native native = [](Runtime& runtime, const Value& self, CallArgs& args) -> Result<Value> {
      PHIAL_ASSIGN(const auto none, bind_arguments(runtime, "method of cycler", args, {}));
      return F()(*self.if_a<Cycler>());
    };
    return rt.object(std::make_shared<NativeFunction>(native, Value(shared_from_this())));
  }

  const Value& current() const { return items_.if_list()->items[at_]; }

  Value items_;
  size_t at_ = 0;
};

class Joiner final : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {}
  std::string_view type_name() const override { return "Joiner"; }
  int depth() const override { return separator_.depth() + 1; }
  bool callable() const override { return true; }
  Result<Value> call(Runtime& rt, CallArgs& args) override {
    PHIAL_ASSIGN(const auto none, bind_arguments(rt, "joiner", args, {}));
    if (std::exchange(used_, true)) return separator_;
    return rt.string({});
  }
  Result<Value> attribute(Runtime&, std::string_view name) override {
    if (name == "sep") return separator_;
    if (name == "used") return Value(used_);
    return Value();
  }

 private:
  Value separator_;
  bool used_ = false;
};

Result<Value> call_cycler(Runtime& rt, const Value&, CallArgs& args) {
  if (!args.named.empty()) return rt.raise("cycler() takes no keyword arguments");
  if (args.positional.empty()) return rt.raise("at least one item has to be provided");
  PHIAL_ASSIGN(Value items, rt.tuple(std::move(args.positional)));
  return rt.object(std::make_shared<Cycler>(std::move(items)));
}

Result<Value> call_joiner(Runtime& rt, const Value&, CallArgs& args) {
  PHIAL_ASSIGN(std::vector<Value> bound, bind_arguments(rt, "joiner", args, {"sep"}));
  if (bound[0].missing()) {
    PHIAL_ASSIGN(bound[0], rt.string(", "));
  }
  return rt.object(std::make_shared<Joiner>(std::move(bound[0])));
}

constexpr NamedNative kGlobals[] = {
    {"namespace", call_namespace},
    {"range", call_range},
    {"dict", call_dict},
    {"cycler", call_cycler},
    {"joiner", call_joiner},
    {"raise_exception", call_raise_exception},
    {"strftime_now", call_strftime_now},
};

}  // namespace

Result<Value> Namespace::attribute(Runtime&, std::string_view name) {
  const auto it = index_.find(std::string(name));
  return it != index_.end() ? members_[it->second].second : Value();
}

Status Namespace::set(Runtime& rt, std::string_view name, Value value) {
  if (!name.empty() && name[0] == '_') {
    return rt.raise("namespace attributes cannot begin with an underscore: '" + std::string(name) +
                    "'");
  }
  PHIAL_TRY(rt.step());
  PHIAL_TRY(rt.check_depth(value.depth() + 1));
  depth_ = std::max(depth_, value.depth() + 1);
  const auto [it, fresh] = index_.emplace(std::string(name), members_.size());
  if (fresh) {
    members_.emplace_back(it->first, std::move(value));
  } else {
    members_[it->second].second = std::move(value);
  }
  return {};
}

Status Namespace::write(Runtime& rt, Builder& out, int depth) {
  PHIAL_TRY(out.add("<Namespace {"));
  for (size_t i = 0; i < members_.size(); ++i) {
    PHIAL_ASSIGN(const Value key, rt.string(members_[i].first));
    if (i > 0) PHIAL_TRY(out.add(", "));
    PHIAL_TRY(write_repr(rt, out, key, depth + 1));
    PHIAL_TRY(out.add(": "));
    PHIAL_TRY(write_repr(rt, out, members_[i].second, depth + 1));
  }
  return out.add("}>");
}

Result<Value> find_global(Runtime& rt, std::string_view name) {
  for (const NamedNative& global : kGlobals) {
    if (global.name == name) {
      return rt.object(std::make_shared<NativeFunction>(global.function));
    }
  }
  return Value();
}

}  // namespace phial::jinja
