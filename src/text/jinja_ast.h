// The syntax tree of a template. Made by the parser, completed by the scope analysis (variables get
// slots, filters and tests their functions) and immutable from then on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja_ops.h"
#include "text/jinja_value.h"

namespace phial::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

// A variable: `hops` frames outwards, then the slot of that frame.
struct SlotRef {
  int hops = 0;
  int index = 0;
};

enum class ExprKind : uint8_t {
  constant,
  name,
  ns_ref,  // target `name.text`
  tuple,
  list,
  dict,       // items: key, value, key, value ...
  unary_not,  // items[0]
  negative,
  positive,
  chain,   // items[0] ops[0] items[1] ops[1] items[2]: +,- or *,/,//,%, or **; left to right
  concat,  // str() of all items, joined
  and_chain,
  or_chain,
  comparison,   // items[0] compare_ops[0] items[1] compare_ops[1] items[2]
  conditional,  // items: test, then, else (null when left out)
  attribute,    // items[0].text
  item,         // items[0][items[1]]
  slice,        // items[0][items[1]:items[2]:items[3]], null when left out
  call,         // items[0](arguments)
  filter,       // items[0] | text(arguments); items[0] is null for the text of a block
  test,         // items[0] is text(arguments)
};

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr more_positional;  // *value
  ExprPtr more_named;       // **value
};

struct FilterEntry;
struct TestEntry;

struct Expr {
  ExprKind kind = ExprKind::constant;
  int line = 0;
  int depth = 1;  // of the tree below, so that evaluation cannot overrun the stack
  Value constant;
  std::string text;
  SlotRef slot;
  std::vector<ExprPtr> items;
  std::vector<BinaryOp> ops;
  std::vector<CompareOp> compare_ops;
  std::unique_ptr<Arguments> arguments;
  const FilterEntry* filter = nullptr;  // null: unknown, an error when it is reached
  const TestEntry* test = nullptr;
};

// How a frame finds the first value of a slot when it is entered (see jinja_scope.h).
struct SlotInit {
  enum class Kind : uint8_t {
    parameter,  // assigned by the statement itself
    resolve,    // looked up among the variables of the rendering
    alias,      // copied from a frame further out
    undefined,  // not assigned yet
  } kind = Kind::undefined;
  std::string name;
  SlotRef source;  // of an alias, counted from the frame outside
};

// The variables of one frame: index i is slot i.
using Scope = std::vector<SlotInit>;

enum class StmtKind : uint8_t {
  output,        // exprs
  data,          // text
  if_block,      // branches; body of the last branch without test is else
  for_loop,      // target in iter if test; body, else_body
  set,           // target = value
  set_block,     // target, value (a filter over the block, or null), body
  with,          // targets, exprs, body
  macro,         // text(parameters), body
  call_block,    // value is the call; parameters, body
  filter_block,  // value is the filter, body
  generation,    // body, in a scope of its own
  break_loop,
  continue_loop,
};

struct Stmt;
using Body = std::vector<std::unique_ptr<Stmt>>;

struct Branch {
  ExprPtr test;  // null: else
  Body body;
};

struct Parameter {
  std::string name;
  ExprPtr fallback;  // null: none
  int slot = 0;
};

struct Stmt {
  StmtKind kind = StmtKind::data;
  int line = 0;
  std::string text;
  ExprPtr target;
  ExprPtr value;
  ExprPtr iter;
  ExprPtr test;
  std::vector<ExprPtr> targets;
  std::vector<ExprPtr> exprs;
  std::vector<Branch> branches;
  std::vector<Parameter> parameters;
  Body body;
  Body else_body;
  bool recursive = false;

  // Completed by the scope analysis.
  Scope scope;
  Scope else_scope;
  Scope test_scope;
  ExprPtr test_target;   // the target once more, in the frame of a loop's test
  int loop_slot = -1;    // of `loop`, when the body uses it
  int caller_slot = -1;  // of the names that a macro receives only when its body mentions them
  int kwargs_slot = -1;
  int varargs_slot = -1;
  SlotRef macro_slot;  // where a macro's own name lives
};

struct Template {
  std::string name;
  Body body;
  Scope scope;
};

}  // namespace phial::jinja
