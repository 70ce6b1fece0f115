#include "text/jinja_scope.h"

#include <map>
#include <optional>
#include <set>

#include "text/jinja_filters.h"
#include "text/jinja_lexer.h"

namespace phial::jinja {
namespace {

// A frame whose names are known.
struct FrameNames {
  FrameNames* outer = nullptr;
  Scope* scope = nullptr;
  std::map<std::string, int, std::less<>> slots;

  int slot(const std::string& name) {
    const auto [it, fresh] = slots.emplace(name, static_cast<int>(scope->size()));
    if (fresh) scope->push_back({SlotInit::Kind::undefined, name, {}});
    return it->second;
  }
};

std::optional<SlotRef> find_outwards(const FrameNames* frame, const std::string& name) {
  for (int hops = 0; frame != nullptr; frame = frame->outer, ++hops) {
    const auto it = frame->slots.find(name);
    if (it != frame->slots.end()) return SlotRef{hops, it->second};
  }
  return std::nullopt;
}

// What is known of a frame's names at one point of its text. A branch of an `if` is a layer over
// the text before it.
class Layer {
 public:
  explicit Layer(FrameNames& frame, const Layer* below = nullptr) : frame_(frame), below_(below) {}

  Layer branch() const { return Layer(frame_, this); }

  void load(const std::string& name) {
    if (!known(name) && !find_outwards(frame_.outer, name)) {
      define(name, {SlotInit::Kind::resolve, name, {}});
    }
  }

  void store(const std::string& name) {
    stores_.insert(name);
    if (known(name)) return;
    const auto outer = find_outwards(frame_.outer, name);
    define(name, outer ? SlotInit{SlotInit::Kind::alias, name, *outer}
                       : SlotInit{SlotInit::Kind::undefined, name, {}});
  }

  void declare_parameter(const std::string& name) {
    stores_.insert(name);
    define(name, {SlotInit::Kind::parameter, name, {}});
  }

  // Takes over what the branches of an `if` know. A name that one of them assigns may stay
  // unassigned, so that it begins with its value outside.
  void merge(const std::vector<Layer>& branches) {
    std::set<std::string> assigned;
    for (const Layer& branch : branches) {
      for (const std::string& name : branch.stores_) {
        if (!stored(name)) assigned.insert(name);
      }
    }
    for (const Layer& branch : branches) {
      loads_.insert(branch.loads_.begin(), branch.loads_.end());
      stores_.insert(branch.stores_.begin(), branch.stores_.end());
    }
    for (const std::string& name : assigned) {
      const auto outer = find_outwards(frame_.outer, name);
      loads_[name] = outer ? SlotInit{SlotInit::Kind::alias, name, *outer}
                           : SlotInit{SlotInit::Kind::resolve, name, {}};
    }
  }

  // Writes the initial values into the frame's scope. REQUIRES: the lowest layer
  void finish() {
    for (const auto& [name, init] : loads_) {
      (*frame_.scope)[static_cast<size_t>(frame_.slot(name))] = init;
    }
  }

 private:
  bool known(const std::string& name) const {
    return loads_.contains(name) || (below_ != nullptr && below_->known(name));
  }
  bool stored(const std::string& name) const {
    return stores_.contains(name) || (below_ != nullptr && below_->stored(name));
  }
  void define(const std::string& name, SlotInit init) { loads_[name] = std::move(init); }

  FrameNames& frame_;
  const Layer* below_;
  std::map<std::string, SlotInit> loads_;  // also the names this layer knows
  std::set<std::string> stores_;
};

template <class F>
void for_each_child(const Expr& expr, F f) {
  for (const ExprPtr& item : expr.items) {
    if (item != nullptr) f(*item);
  }
  if (expr.arguments == nullptr) return;
  for (const ExprPtr& value : expr.arguments->positional) f(*value);
  for (const auto& named : expr.arguments->named) f(*named.second);
  if (expr.arguments->more_positional != nullptr) f(*expr.arguments->more_positional);
  if (expr.arguments->more_named != nullptr) f(*expr.arguments->more_named);
}

void load_names(Layer& layer, const Expr& expr) {
  if (expr.kind == ExprKind::name) layer.load(expr.text);
  for_each_child(expr, [&layer](const Expr& child) { load_names(layer, child); });
}

enum class TargetMode { store, parameter };

void store_names(Layer& layer, const Expr& target, TargetMode mode) {
  if (target.kind == ExprKind::name) {
    if (mode == TargetMode::store) {
      layer.store(target.text);
    } else {
      layer.declare_parameter(target.text);
    }
  } else if (target.kind == ExprKind::ns_ref) {
    layer.load(target.items[0]->text);
  } else {
    for (const ExprPtr& item : target.items) store_names(layer, *item, mode);
  }
}

void scan_body(Layer& layer, const Body& body);

void scan_if(Layer& layer, const Stmt& statement) {
  // All elif branches together are one branch, in which each is an `if` of its own.
  std::vector<Layer> branches;
  load_names(layer, *statement.branches[0].test);
  Layer body = layer.branch();
  scan_body(body, statement.branches[0].body);
  Layer elifs = layer.branch();
  Layer otherwise = layer.branch();
  for (size_t i = 1; i < statement.branches.size(); ++i) {
    const Branch& branch = statement.branches[i];
    if (branch.test == nullptr) {
      scan_body(otherwise, branch.body);
      continue;
    }
    load_names(elifs, *branch.test);
    Layer inner = elifs.branch();
    scan_body(inner, branch.body);
    elifs.merge({std::move(inner)});
  }
  branches.push_back(std::move(body));
  branches.push_back(std::move(elifs));
  branches.push_back(std::move(otherwise));
  layer.merge(branches);
}

// The names that a statement loads and stores in the frame it stands in.
void scan_statement(Layer& layer, const Stmt& statement) {
  switch (statement.kind) {
    case StmtKind::if_block:
      return scan_if(layer, statement);
    case StmtKind::for_loop:
      return load_names(layer, *statement.iter);
    case StmtKind::set:
      load_names(layer, *statement.value);
      return store_names(layer, *statement.target, TargetMode::store);
    case StmtKind::set_block:
      return store_names(layer, *statement.target, TargetMode::store);
    case StmtKind::macro:
      return layer.store(statement.text);
    case StmtKind::call_block:
    case StmtKind::filter_block:
      return load_names(layer, *statement.value);
    case StmtKind::with:
    case StmtKind::output:
      for (const ExprPtr& expr : statement.exprs) load_names(layer, *expr);
      return;
    case StmtKind::data:
    case StmtKind::generation:
    case StmtKind::break_loop:
    case StmtKind::continue_loop:
      return;
  }
}

void scan_body(Layer& layer, const Body& body) {
  for (const auto& statement : body) scan_statement(layer, *statement);
}

// Looks for the first use of a name in the order of the text: a load before any store.
class MentionFinder {
 public:
  explicit MentionFinder(std::string_view name) : name_(name) {}

  bool loaded_in(const Body& body) {
    visit(body);
    return loaded_;
  }

 private:
  bool done() const { return loaded_ || stored_; }

  void visit(const Expr* expr, bool store = false) {
    if (expr == nullptr || done()) return;
    if (expr->kind == ExprKind::name && expr->text == name_) (store ? stored_ : loaded_) = true;
    if (expr->kind == ExprKind::ns_ref) return;
    for_each_child(*expr, [&](const Expr& child) { visit(&child, store); });
  }

  void visit(const Body& body) {
    for (const auto& statement : body) visit(*statement);
  }

  void visit(const Stmt& s) {
    if (done()) return;
    if (s.kind == StmtKind::call_block) visit(s.value.get());
    for (const Parameter& p : s.parameters) stored_ = stored_ || p.name == name_;
    for (const Parameter& p : s.parameters) visit(p.fallback.get());
    for (const Branch& branch : s.branches) {
      visit(branch.test.get());
      visit(branch.body);
    }
    visit(s.target.get(), true);
    visit(s.iter.get());
    for (const ExprPtr& target : s.targets) visit(target.get(), true);
    for (const ExprPtr& expr : s.exprs) visit(expr.get());
    if (s.kind == StmtKind::set) visit(s.value.get());
    visit(s.body);
    visit(s.else_body);
    visit(s.test.get());
    if (s.kind == StmtKind::set_block || s.kind == StmtKind::filter_block) visit(s.value.get());
  }

  std::string_view name_;
  bool loaded_ = false;
  bool stored_ = false;
};

bool mentions(const Body& body, std::string_view name) {
  return MentionFinder(name).loaded_in(body);
}

// Second pass: with all names of a frame known, every name gets its slot.
class Binder {
 public:
  explicit Binder(std::string_view name) : name_(name) {}

  Status bind_template(Template& tree) {
    FrameNames frame;
    frame.scope = &tree.scope;
    Layer layer(frame);
    scan_body(layer, tree.body);
    layer.finish();
    return bind_body(frame, tree.body, false);
  }

 private:
  Status bind_body(FrameNames& frame, Body& body, bool soft) {
    for (auto& statement : body) PHIAL_TRY(bind_statement(frame, *statement, soft));
    return {};
  }

  Status bind_statement(FrameNames& frame, Stmt& s, bool soft) {
    switch (s.kind) {
      case StmtKind::if_block:
        for (Branch& branch : s.branches) {
          if (branch.test != nullptr) PHIAL_TRY(bind(frame, *branch.test, true));
          PHIAL_TRY(bind_body(frame, branch.body, true));
        }
        return {};
      case StmtKind::for_loop: {
        ++loops_;
        Status status = bind_for(frame, s, soft);
        --loops_;
        return status;
      }
      case StmtKind::set:
        PHIAL_TRY(bind(frame, *s.value, soft));
        return bind_target(frame, *s.target);
      case StmtKind::set_block:
        PHIAL_TRY(bind_target(frame, *s.target));
        return bind_inner(frame, s, s.value.get());
      case StmtKind::filter_block:
        return bind_inner(frame, s, s.value.get());
      case StmtKind::generation:
        return bind_function(frame, s);
      case StmtKind::macro:
        s.macro_slot = *find_outwards(&frame, s.text);
        return bind_function(frame, s);
      case StmtKind::call_block:
        PHIAL_TRY(bind(frame, *s.value, soft));
        return bind_function(frame, s);
      case StmtKind::with:
        return bind_with(frame, s, soft);
      case StmtKind::output:
        for (ExprPtr& expr : s.exprs) PHIAL_TRY(bind(frame, *expr, soft));
        return {};
      case StmtKind::data:
      case StmtKind::break_loop:
      case StmtKind::continue_loop:
        return {};
    }
    return {};
  }

  Status bind_for(FrameNames& frame, Stmt& s, bool soft) {
    PHIAL_TRY(bind(frame, *s.iter, soft));
    FrameNames inner = open(frame, s.scope);
    Layer layer(inner);
    if (s.recursive || mentions(s.body, "loop")) {
      layer.declare_parameter("loop");
      s.loop_slot = inner.slot("loop");
    }
    store_names(layer, *s.target, TargetMode::parameter);
    scan_body(layer, s.body);
    layer.finish();
    PHIAL_TRY(bind_target(inner, *s.target));
    PHIAL_TRY(bind_body(inner, s.body, false));

    FrameNames otherwise = open(frame, s.else_scope);
    Layer else_layer(otherwise);
    scan_body(else_layer, s.else_body);
    else_layer.finish();
    PHIAL_TRY(bind_body(otherwise, s.else_body, false));
    if (s.test == nullptr) return {};

    FrameNames test = open(frame, s.test_scope);
    Layer test_layer(test);
    store_names(test_layer, *s.test_target, TargetMode::parameter);
    load_names(test_layer, *s.test);
    test_layer.finish();
    PHIAL_TRY(bind_target(test, *s.test_target));
    return bind(test, *s.test, false);
  }

  Status bind_inner(FrameNames& frame, Stmt& s, Expr* filter) {
    FrameNames inner = open(frame, s.scope);
    Layer layer(inner);
    scan_body(layer, s.body);
    if (filter != nullptr) load_names(layer, *filter);
    layer.finish();
    PHIAL_TRY(bind_body(inner, s.body, false));
    return filter != nullptr ? bind(inner, *filter, false) : Status();
  }

  Status bind_with(FrameNames& frame, Stmt& s, bool soft) {
    for (ExprPtr& expr : s.exprs) PHIAL_TRY(bind(frame, *expr, soft));
    FrameNames inner = open(frame, s.scope);
    Layer layer(inner);
    for (const ExprPtr& target : s.targets) store_names(layer, *target, TargetMode::parameter);
    scan_body(layer, s.body);
    layer.finish();
    for (ExprPtr& target : s.targets) PHIAL_TRY(bind_target(inner, *target));
    return bind_body(inner, s.body, false);
  }

  // A macro, the body of a call block or a generation block (a call block to jinja2).
  Status bind_function(FrameNames& frame, Stmt& s) {
    FrameNames inner = open(frame, s.scope);
    Layer layer(inner);
    for (Parameter& p : s.parameters) {
      layer.declare_parameter(p.name);
      p.slot = inner.slot(p.name);
    }
    declare_special(layer, inner, s, "caller", s.caller_slot);
    declare_special(layer, inner, s, "kwargs", s.kwargs_slot);
    declare_special(layer, inner, s, "varargs", s.varargs_slot);
    for (const Parameter& p : s.parameters) {
      if (p.fallback != nullptr) load_names(layer, *p.fallback);
    }
    scan_body(layer, s.body);
    layer.finish();
    for (Parameter& p : s.parameters) {
      if (p.fallback != nullptr) PHIAL_TRY(bind(inner, *p.fallback, false));
    }
    return bind_body(inner, s.body, false);
  }

  static void declare_special(Layer& layer, FrameNames& frame, const Stmt& s,
                              const std::string& name, int& slot) {
    for (const Parameter& p : s.parameters) {
      if (p.name == name) return;
    }
    if (!mentions(s.body, name)) return;
    layer.declare_parameter(name);
    slot = frame.slot(name);
  }

  static FrameNames open(FrameNames& outer, Scope& scope) {
    FrameNames inner;
    inner.outer = &outer;
    inner.scope = &scope;
    return inner;
  }

  Status bind_target(FrameNames& frame, Expr& target) {
    if (target.kind == ExprKind::name && target.text == "loop" && loops_ > 0) {
      return damaged(at_line(name_, target.line), "cannot assign to the variable 'loop' in a loop");
    }
    if (target.kind == ExprKind::name) target.slot = *find_outwards(&frame, target.text);
    for (ExprPtr& item : target.items) PHIAL_TRY(bind_item(frame, target, *item));
    return {};
  }

  Status bind_item(FrameNames& frame, const Expr& target, Expr& item) {
    return target.kind == ExprKind::ns_ref ? bind(frame, item, false) : bind_target(frame, item);
  }

  Status bind(FrameNames& frame, Expr& expr, bool soft) {
    if (expr.kind == ExprKind::name) expr.slot = *find_outwards(&frame, expr.text);
    soft = soft || expr.kind == ExprKind::conditional;
    if (expr.kind == ExprKind::filter) {
      expr.filter = find_filter(expr.text);
      if (expr.filter == nullptr && !soft) return unknown(expr, "filter");
    }
    if (expr.kind == ExprKind::test) {
      expr.test = find_test(expr.text);
      if (expr.test == nullptr && !soft) return unknown(expr, "test");
    }
    Status status;
    for_each_child(expr, [&](Expr& child) {
      if (status.ok()) status = bind(frame, child, soft);
    });
    return status;
  }

  Error unknown(const Expr& expr, std::string_view what) const {
    return unsupported(at_line(name_, expr.line),
                       "no " + std::string(what) + " named '" + expr.text + "'");
  }

  std::string_view name_;
  int loops_ = 0;
};

}  // namespace

Status analyse_scopes(Template& tree) { return Binder(tree.name).bind_template(tree); }

}  // namespace phial::jinja
