"""Random chat templates: a grammar over the statements, operators, filters, tests and methods of Jinja.

Expressions are made by type, so that most templates render; one in ERRORS asks for a type that does
not fit, because what raises must raise on both sides.
"""

ERRORS = 120

VARIABLES = {
    "s": "Hello World", "u": "Grüße 世界 🎉", "e": "", "sp": "  a\tb \n c ", "n": 5, "z": 0, "neg": -7, "f": 1.5,
    "g": -0.25, "t": True, "no": False, "nul": None, "xs": [3, 1, 2], "ss": ["b", "A", "c", "a"], "mix": [1, "a", None, 2.5, True],
    "nest": [[2, "x"], [1, "y"]], "d": {"b": 1, "a": 2, "c": 3}, "dd": {"k": {"m": [1, {"q": "deep"}]}, "items": 4},
    "ms": [{"role": "user", "content": " Hi "}, {"role": "assistant", "content": "Yo", "n": 2},
           {"role": "user", "content": "Bye <b>", "n": 1}],
}
NAMES = {
    "int": ["n", "z", "neg", "xs[0]", "ms[1].n", "d.a", "d['b']"], "float": ["f", "g"],
    "str": ["s", "u", "e", "sp", "ms[0].role", "ms[2]['content']", "ss[1]"], "bool": ["t", "no"],
    "list": ["xs", "ss", "nest", "ms", "mix", "dd.k.m"], "dict": ["d", "dd", "ms[0]", "dd.k"],
    "none": ["nul"], "undefined": ["missing", "d.nope", "ms[9]", "ms[0].n", "nul.x", "s.nope"],
}
STRINGS = ["''", "'a'", "'a b'", "'Hello'", "'é🎉'", "'x\\n y'", "'1'", "' 1.5 '", "'-3'", "'0x1f'", "\"it's\"", "'<b>&'",
           "'ab,c,,d'", "'role'", "'A'", "'ß'", "'\\t'", "'1e3'", "'{'", "'%'", "'\\\\'", "'\\u00e9'", "'l'", "'o'", "' '", "','"]
INTEGERS = ["0", "1", "2", "3", "-1", "-2", "7", "10", "100", "1_000", "0x1f", "0b101", "0o17", "255", "1000000", "123456789",
            "4294967296", "9007199254740993", "9223372036854775807"]
FLOATS = ["0.5", "1.0", "2.5", "-1.5", "0.1", "1e3", "1e-5", "1e16", "1e22", "123.456", "3.0", "-0.0", "1.005", "1e100", "2.675", "0.0001"]
TYPES = ["int", "float", "str", "bool", "list", "dict", "none", "undefined"]


class Generator:
    def __init__(self, rng):
        self.rng = rng
        self.loops = 0
        self.macros = []
        self.depth = 0

    # Expressions

    def pick(self, items):
        return items[self.rng.randrange(len(items))]

    def chance(self, one_in):
        return self.rng.randrange(one_in) == 0

    def any(self, depth):
        return self.expr(self.pick(["int", "int", "float", "str", "str", "str", "bool", "list", "list", "dict", "none", "undefined"]), depth)

    def expr(self, kind, depth=0):
        if self.chance(ERRORS):
            kind = self.pick(TYPES)
        if depth >= 4 or self.chance(4):
            return self.leaf(kind)
        if self.chance(14):
            return f"({self.expr(kind, depth + 1)} if {self.condition(depth + 1)} else {self.expr(kind, depth + 1)})"
        if self.chance(20):
            return f"({self.expr(kind, depth + 1)})"
        if self.chance(25):
            return f"({self.any(depth + 1)} {self.pick(['or', 'and'])} {self.expr(kind, depth + 1)})"
        if self.chance(25):
            items = [self.expr(kind, depth + 1) for _ in range(self.rng.randint(1, 3))]
            index = self.rng.randint(0, len(items) - 1)
            return self.pick([f"[{', '.join(items)}][{index}]", f"[{', '.join(items)}]|last", f"[{', '.join(items)}]|first",
                              f"{{'k': {items[0]}}}.k", f"{{'k': {items[0]}}}['k']", f"{{'k': {items[0]}}}.get('k')",
                              f"dict(k={items[0]}).k", f"namespace(k={items[0]}).k", f"(missing|default({items[0]}))",
                              f"({items[0]}|default({self.any(depth + 1)}))"])
        return getattr(self, kind + "_expr")(depth + 1)

    def leaf(self, kind):
        if self.chance(2) and kind in NAMES:
            return self.pick(NAMES[kind])
        if kind == "int":
            return self.pick(INTEGERS[:8] if not self.chance(4) else INTEGERS)
        if kind == "float":
            return self.pick(FLOATS)
        if kind == "str":
            return self.pick(STRINGS)
        if kind == "bool":
            return self.pick(["true", "false", "True", "False"])
        if kind == "none":
            return self.pick(["none", "None", "nul"])
        if kind == "list":
            return self.pick(["[]", "()", "[1, 2]", "['b', 'a']", "(1, 'x', 2.5)", "[[1], []]", "range(3)|list", "(none,)", "xs", "ms"])
        if kind == "dict":
            return self.pick(["{}", "{'a': 1}", "{1: 'x', 'y': [none]}", "d", "{'b': 2, 'a': 1}"])
        return self.pick(NAMES["undefined"])

    def int_expr(self, depth):
        i, s, l = (lambda: self.expr("int", depth)), (lambda: self.expr("str", depth)), (lambda: self.expr("list", depth))
        return self.pick([
            lambda: f"({i()} {self.pick(['+', '-', '*', '//', '%'])} {i()})",
            lambda: f"({i()} {self.pick(['+', '-'])} {i()} {self.pick(['*', '//', '%'])} {i()})",
            lambda: f"(-{i()})", lambda: f"(+{i()})", lambda: f"({i()} ** {self.pick(['0', '1', '2', '3'])})",
            lambda: f"{s()}|length", lambda: f"{l()}|length", lambda: f"{l()}|count", lambda: f"({s()}|wordcount)",
            lambda: f"({i()}|abs)", lambda: f"({self.any(depth)}|int)", lambda: f"({s()}|int({i()}))",
            lambda: f"({s()}|int(base={self.pick(['2', '8', '10', '16', '0', '36'])}))",
            lambda: f"({s()}).{self.pick(['find', 'rfind', 'count'])}({s()})", lambda: f"({s()}).index({s()})",
            lambda: f"({s()}).find({s()}, {i()})", lambda: f"({s()}).count({s()}, {i()}, {i()})",
            lambda: f"([{i()}, {i()}, {i()}]|{self.pick(['sum', 'max', 'min', 'first', 'last'])})",
            lambda: f"(ms|map(attribute='n')|select('defined')|sum)", lambda: f"(ms|sum(attribute='n', start={i()}))",
            lambda: f"(ms|selectattr('n')|sum('n'))", lambda: f"({l()}).count({self.any(depth)})", lambda: f"({l()}).index({self.any(depth)})",
            lambda: f"({i()}|round)", lambda: f"({i()}|round({self.pick(['-1', '-2', '1', '0'])}))", lambda: self.loop_value("int"),
            lambda: f"({self.expr('dict', depth)}|length)", lambda: f"range({i()})|length", lambda: f"({self.expr('bool', depth)} + {i()})",
        ])()

    def float_expr(self, depth):
        n = lambda: self.expr(self.pick(["int", "float"]), depth)  # noqa: E731
        f = lambda: self.expr("float", depth)  # noqa: E731
        return self.pick([
            lambda: f"({f()} {self.pick(['+', '-', '*', '/', '//', '%'])} {n()})", lambda: f"({n()} {self.pick(['+', '-', '*', '/', '//', '%'])} {f()})",
            lambda: f"({n()} / {n()})", lambda: f"({n()}|float)", lambda: f"({self.expr('str', depth)}|float)",
            lambda: f"({self.any(depth)}|float({f()}))", lambda: f"({f()}|round({self.pick(['0', '1', '2', '-1', '3'])}))",
            lambda: f"({n()}|round({self.pick(['0', '1', '2', '-1'])}, '{self.pick(['common', 'ceil', 'floor'])}'))",
            lambda: f"({f()} ** {self.pick(['2', '-1', '3', '0', '0.5'])})", lambda: f"({f()}|abs)", lambda: f"(-{f()})",
            lambda: f"([{n()}, {f()}]|{self.pick(['sum', 'max', 'min'])})", lambda: f"(2 ** -{self.expr('int', 4)})",
        ])()

    def str_expr(self, depth):
        s, i, l = (lambda: self.expr("str", depth)), (lambda: self.expr("int", depth)), (lambda: self.expr("list", depth))
        a = lambda: self.any(depth)  # noqa: E731
        return self.pick([
            lambda: f"({s()} + {s()})", lambda: f"({a()} ~ {a()})", lambda: f"({a()} ~ {a()} ~ {a()})", lambda: f"({s()} * {self.pick(['0', '1', '2', '3'])})",
            lambda: f"({s()}|{self.pick(['upper', 'lower', 'title', 'capitalize', 'trim', 'string', 'safe', 'escape', 'e', 'forceescape', 'reverse'])})",
            lambda: f"({s()})." + self.pick(["upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip", "swapcase", "casefold"]) + "()",
            lambda: f"({s()}).{self.pick(['strip', 'lstrip', 'rstrip'])}({s()})", lambda: f"({s()}|trim({s()}))",
            lambda: f"({s()}).replace({s()}, {s()})", lambda: f"({s()}|replace({s()}, {s()}))", lambda: f"({s()}|replace({s()}, {a()}, {i()}))",
            lambda: f"({s()}).replace({s()}, {s()}, {i()})", lambda: f"({s()}).{self.pick(['removeprefix', 'removesuffix'])}({s()})",
            lambda: f"({s()}).{self.pick(['center', 'ljust', 'rjust'])}({self.pick(['0', '5', '8', '13'])}{self.pick(['', ', ' + repr('*'), ', ' + repr('é')])})",
            lambda: f"({s()}).zfill({self.pick(['0', '4', '9'])})", lambda: f"({s()}).expandtabs({self.pick(['', '4', '1', '0'])})",
            lambda: f"({s()}|center({self.pick(['3', '12'])}))", lambda: f"({s()}|indent({self.pick(['', '2', '2, true', '1, true, true', 'width=3, blank=true', repr('> ')])}))",
            lambda: f"({s()}|truncate({self.pick(['3', '5, true', '9, false, ' + repr('..'), '8, true, ' + repr('') + ', 0', '4, leeway=0'])}))",
            lambda: f"({l()}|join)", lambda: f"({l()}|join({s()}))", lambda: f"(ms|join(',', attribute='{self.pick(['role', 'content', 'n'])}'))",
            lambda: f"({s()}).join({self.expr_of_strings(depth)})", lambda: f"({a()}|tojson)",
            lambda: f"({a()}|tojson({self.pick(['indent=2', 'indent=0', 'sort_keys=true', 'true', 'ensure_ascii=true', 'separators=(' + repr(',') + ', ' + repr(':') + ')', 'indent=1, sort_keys=true', 'indent=' + repr('..'), 'indent=none'])}))",
            lambda: f"({a()}|string)", lambda: f"({s()})[{i()}]", lambda: f"({s()})[{self.slice(depth)}]",
            lambda: f"({s()}|first)", lambda: f"({s()}|last)", lambda: self.percent(depth), lambda: self.braces(depth),
            lambda: f"({s()}).split({s()})[0]", lambda: f"({s()}).partition({s()})[{self.pick(['0', '1', '2'])}]", lambda: self.call_macro(depth),
            lambda: self.loop_value("str"), lambda: f"({l()}|string)", lambda: f"({s()}|format({a()}))", lambda: f"({s()}|max)", lambda: f"({s()}|e ~ {s()})",
            lambda: f"({s()}|safe + {s()})", lambda: f"strftime_now('{self.pick(['%d %b %Y', '%Y-%m-%d', '%H:%M', '%A %j', '%%', '%B %-d'])}')",
            lambda: f"joiner({s()})()", lambda: f"cycler({a()}, {a()}).next()|string",
        ])()

    def bool_expr(self, depth):
        a, s, l = (lambda: self.any(depth)), (lambda: self.expr("str", depth)), (lambda: self.expr("list", depth))
        n = lambda: self.expr(self.pick(["int", "float"]), depth)  # noqa: E731
        return self.pick([
            lambda: f"({n()} {self.pick(['<', '>', '<=', '>=', '==', '!='])} {n()})", lambda: f"({s()} {self.pick(['<', '>', '==', '!=', '<='])} {s()})",
            lambda: f"({n()} < {n()} {self.pick(['<', '==', '!=', '>='])} {n()})", lambda: f"({a()} {self.pick(['==', '!='])} {a()})",
            lambda: f"({s()} {self.pick(['in', 'not in'])} {s()})", lambda: f"({a()} {self.pick(['in', 'not in'])} {l()})",
            lambda: f"({s()} in {self.expr('dict', depth)})", lambda: f"(not {a()})", lambda: f"({a()} is {self.pick(['', 'not '])}{self.test(depth)})",
            lambda: f"({a()} is {self.test(depth)} {self.pick(['and', 'or'])} {a()} is {self.test(depth)})",
            lambda: f"({s()}).{self.pick(['startswith', 'endswith'])}({self.pick([s(), '(' + s() + ', ' + s() + ')'])})",
            lambda: f"({s()})." + self.pick(["isdigit", "isalpha", "isalnum", "isspace", "isupper", "islower", "istitle", "isnumeric", "isdecimal", "isascii", "isidentifier", "isprintable"]) + "()",
            lambda: f"({self.condition(depth)} and {self.condition(depth)})", lambda: f"({self.condition(depth)} or {self.condition(depth)})",
            lambda: self.loop_value("bool"), lambda: f"({l()} == {l()})", lambda: f"({l()} < {l()})",
        ])()

    def list_expr(self, depth):
        l, s, a = (lambda: self.expr("list", depth)), (lambda: self.expr("str", depth)), (lambda: self.any(depth))
        return self.pick([
            lambda: f"[{a()}, {a()}]", lambda: f"[{a()}]", lambda: f"({a()}, {a()})", lambda: f"({l()} + {l()})", lambda: f"({l()} * {self.pick(['0', '1', '2'])})",
            lambda: f"({s()}).{self.pick(['split', 'rsplit'])}({self.pick(['', s(), s() + ', ' + self.pick(['0', '1', '2', '-1']), 'none, 1'])})",
            lambda: f"({s()}).splitlines({self.pick(['', 'true'])})", lambda: f"({l()}|list)[{self.slice(depth)}]", lambda: f"({l()}|list)", lambda: f"({s()}|list)",
            lambda: f"({l()}|reverse|list)", lambda: f"({self.expr_of_strings(depth)}|sort)", lambda: f"({self.expr_of_strings(depth)}|sort(reverse=true, case_sensitive={self.pick(['true', 'false'])}))",
            lambda: f"({l()}|sort)", lambda: f"({l()}|unique|list)", lambda: f"({self.expr_of_strings(depth)}|unique(true)|list)",
            lambda: f"({l()}|map('{self.pick(['string', 'upper', 'length', 'int', 'float', 'abs', 'trim', 'tojson', 'list', 'first', 'title', 'e'])}')|list)",
            lambda: f"(ms|map(attribute='{self.pick(['role', 'content', 'n', 'content.x', '0'])}'{self.pick(['', ', default=' + a()])})|list)",
            lambda: f"({l()}|{self.pick(['select', 'reject'])}('{self.pick(['string', 'number', 'none', 'mapping', 'defined', 'sequence', 'true', 'integer', 'iterable'])}')|list)",
            lambda: f"({l()}|{self.pick(['select', 'reject'])}|list)", lambda: f"({l()}|{self.pick(['select', 'reject'])}('{self.pick(['eq', 'ne', 'in', 'sameas', 'gt', '=='])}', {a()})|list)",
            lambda: f"(ms|{self.pick(['selectattr', 'rejectattr'])}('{self.pick(['role', 'n', 'content'])}'{self.pick(['', ', ' + repr('defined'), ', ' + repr('equalto') + ', ' + s(), ', ' + repr('none'), ', ' + repr('in') + ', ' + l()])})|list)",
            lambda: f"({l()}|batch({self.pick(['1', '2', '3', '2, ' + a()])})|list)", lambda: f"({l()}|slice({self.pick(['1', '2', '3', '2, ' + a()])})|list)",
            lambda: f"({self.expr('dict', depth)}|{self.pick(['list', 'items|list', 'dictsort', 'dictsort(true)', 'dictsort(false, ' + repr('value') + ')', 'dictsort(reverse=true)'])})",
            lambda: f"({self.expr('dict', depth)}).{self.pick(['keys', 'values', 'items'])}()|list", lambda: f"range({self.pick(['3', 'n', '1, 4', '5, 0, -2', '0', '-3, 3, 2'])})|list",
            lambda: f"(ms|groupby('{self.pick(['role', 'content'])}')|list)", lambda: f"(ms|groupby('n', default={self.expr('int', 4)})|map('first')|list)",
            lambda: f"(ms|sort(attribute='{self.pick(['role', 'content', 'role,content'])}'{self.pick(['', ', reverse=true'])}))", lambda: f"({s()}).partition({s()})", lambda: f"({s()}).rpartition({s()})",
            lambda: f"(nest|sort(attribute={self.pick(['0', '1', repr('1'), repr('0,1')])}))", lambda: f"(nest|map('last')|list)", lambda: f"(nest|sum(start=[]))",
        ])()

    def dict_expr(self, depth):
        a, s = (lambda: self.any(depth)), (lambda: self.expr("str", depth))
        return self.pick([
            lambda: f"{{{s()}: {a()}}}", lambda: f"{{{s()}: {a()}, {s()}: {a()}}}", lambda: f"{{{self.expr('int', depth)}: {a()}, {self.key(depth)}: 1}}", lambda: f"dict(a={a()}, b={a()})",
            lambda: f"dict({self.expr('dict', depth)}, c={a()})", lambda: f"dict({self.expr('dict', depth)}, **{self.expr('dict', depth)})", lambda: f"dict(({self.expr('dict', depth)}).items())",
            lambda: f"({self.expr('dict', depth)}).copy()", lambda: f"dict({self.expr_of_strings(depth)}|batch(2))", lambda: "(ms|first)", lambda: "(ms|last)", lambda: "ms[-1]",
        ])()

    def key(self, depth):
        # Never a list: jinja2's compiler refuses constants that are no keys, also where nothing would run.
        return self.expr(self.pick(["int", "float", "str", "bool", "none", "undefined"]), depth)

    def none_expr(self, depth):
        return self.pick([lambda: "nul", lambda: f"({self.expr('dict', depth)}).get({self.expr('str', depth)})", lambda: f"(nul if {self.condition(depth)} else none)"])()

    def undefined_expr(self, depth):
        return self.pick([lambda: f"({self.any(depth)}).{self.pick(['nope', 'role', 'x', 'items', 'a'])}", lambda: f"({self.any(depth)})[{self.any(depth)}]",
                          lambda: f"({self.any(depth)} if {self.condition(depth)})", lambda: f"({self.expr('list', depth)}|first)", lambda: f"({self.expr('list', depth)}|{self.pick(['max', 'min', 'last'])})",
                          lambda: f"({self.any(depth)}|attr('{self.pick(['x', 'role', 'upper'])}'))", lambda: self.loop_value("undefined")])()

    def expr_of_strings(self, depth):
        return self.pick([lambda: "ss", lambda: f"[{self.expr('str', depth)}, {self.expr('str', depth)}]", lambda: f"({self.expr('str', depth)}).split()",
                          lambda: f"({self.expr('list', depth)}|map('string')|list)", lambda: "(ms|map(attribute='role')|list)", lambda: self.expr("str", depth)])()

    def condition(self, depth):
        return self.any(depth) if self.chance(3) else self.expr("bool", depth)

    def slice(self, depth):
        bound = lambda: self.pick(["", "", "0", "1", "-1", "2", "-2", "9", "none", self.expr("int", depth)])  # noqa: E731
        return self.pick([f"{bound()}:{bound()}", f"{bound()}:{bound()}:{self.pick(['', '1', '2', '-1', '-2'])}", "::-1"])

    def test(self, depth):
        a = lambda: self.expr(self.pick(["int", "str"]), 4)  # noqa: E731
        return self.pick(["defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "integer", "float", "boolean", "true",
                          "false", "callable", "even", "odd", "lower", "upper", "escaped", f"eq({a()})", f"ne {a()}", f"in {self.expr('list', 4)}",
                          f"divisibleby {self.pick(['2', '3', '0'])}", "sameas none", f"lt({a()})", f"ge({a()})", f"equalto {a()}", f"greaterthan {a()}", "filter", "test"])

    def percent(self, depth):
        kind = self.pick(["int", "float", "str", "any"])
        value = self.any(depth) if kind == "any" else self.expr(kind, depth)
        flags = self.pick(["", "", "-", "0", "+", " ", "#", "-0", "+0"]) + self.pick(["", "", "5", "12"]) + self.pick(["", "", ".0", ".2", ".7"])
        letter = self.pick({"int": "dxXocisr", "float": "feEgGdsF", "str": "srcs", "any": "srsa"}[kind])
        return self.pick([f"('%{flags}{letter}' % ({value},))", f"('[%{flags}{letter}]' % {value})", f"('%s|%{flags}{letter}' % ({self.any(depth)}, {value}))",
                          f"('%(k){flags}{letter}%%' % {{'k': {value}}})", f"('%*{letter}' % (7, {value}))"])

    def braces(self, depth):
        kind = self.pick(["int", "float", "str", "any"])
        value = self.any(depth) if kind == "any" else self.expr(kind, depth)
        spec = self.pick(["", "", "<", ">", "^", "*^", "=", "é>"]) + self.pick(["", "", "+", " "]) + self.pick(["", "", "#"]) + self.pick(["", "", "0"])
        spec += self.pick(["", "6", "11"]) + self.pick(["", "", "", ",", "_"]) + self.pick(["", "", ".2", ".0", ".5"])
        letter = self.pick({"int": "dxXobncefg%", "float": "feEgGF%n", "str": "s", "any": "s"}[kind] + " ").strip()
        spec = ":" + spec + letter if not self.chance(4) else ""
        return self.pick([f"'{{{spec}}}'.format({value})", f"'{{0{spec}}} {{1}}'.format({value}, {self.any(depth)})", f"'{{k{spec}}}{{{{}}}}'.format(k={value})",
                          f"'{{!r}} {{!s}}'.format({value}, {self.any(depth)})", f"'{{0[{self.pick(['0', 'a', '-1'])}]{spec}}}'.format({value})", f"'{{0.x}}'.format({value})"])

    def loop_value(self, kind):
        if not self.loops:
            return self.leaf(kind)
        return "loop." + self.pick({"int": ["index", "index0", "revindex", "revindex0", "length", "depth", "depth0"], "bool": ["first", "last", "changed(n)", "changed(s)"],
                                    "str": ["cycle('a', 'b')", "cycle(s, u, e)"], "undefined": ["previtem", "nextitem"]}[kind])

    def call_macro(self, depth):
        if not self.macros:
            return self.leaf("str")
        name = self.pick(self.macros)
        return f"{name}({self.pick(['', self.any(depth), self.any(depth) + ', ' + self.any(depth), 'b=' + self.any(depth), self.any(depth) + ', b=' + self.any(depth), '*' + self.expr('list', depth), 'a=1, zz=' + self.any(depth), '1, 2, 3'])})"

    # Statements

    def space(self):
        return self.pick(["", "", "", "\n", " ", "\n  ", "  \n", "\t", "\n\n"])

    def tag(self, text):
        left = self.pick(["{%", "{%", "{%", "{%-", "{%+"])
        return f"{left}{self.pick([' ', ' ', ''])}{text}{self.pick([' ', ' ', ''])}{self.pick(['%}', '%}', '%}', '-%}', '+%}'])}"

    def output(self, text):
        return self.pick(["{{ ", "{{ ", "{{- ", "{{+ "] if self.chance(8) else ["{{ ", "{{- "]) + text + self.pick([" }}", " }}", " -}}"])

    def body(self, most=3):
        self.depth += 1
        out = "".join(self.space() + self.statement() for _ in range(self.rng.randint(1, most))) + self.space()
        self.depth -= 1
        return out

    def statement(self):
        if self.depth > 3 or self.chance(3):
            return self.output(self.any(0))
        return self.pick([
            self.if_statement, self.if_statement, self.for_statement, self.for_statement, self.for_statement, self.set_statement, self.set_statement, self.set_block, self.macro,
            self.call_block, self.filter_block, self.with_statement, self.comment, self.raw, self.namespace, self.generation, self.loop_control, self.recursive, self.plain, self.plain,
        ])()

    def plain(self):
        return self.pick(["text", " a ", "é\n", "  x\n", "{ }", "% }", "#", "\n", "'\""])

    def if_statement(self):
        out = self.tag(f"if {self.condition(1)}") + self.body()
        if self.chance(3):
            out += self.tag(f"elif {self.condition(1)}") + self.body(1)
        if self.chance(2):
            out += self.tag("else") + self.body(2)
        return out + self.tag("endif")

    def for_statement(self):
        target, items = self.pick([
            ("q", lambda: self.expr("list", 1)), ("q", lambda: self.expr("list", 1)), ("n", lambda: self.expr("list", 2)), ("k, v", lambda: f"({self.expr('dict', 2)}).items()"), ("c", lambda: self.expr("str", 1)),
            ("m", lambda: "ms"), ("k", lambda: self.expr("dict", 1)), ("a, b", lambda: "nest"), ("(k, v)", lambda: "d|dictsort"), ("i", lambda: "range(3)"), ("x, ms", lambda: "ms|groupby('role')"), ("q", lambda: self.any(1))])
        out = f"for {target} in {items()}"
        if self.chance(5):
            out += f" if {self.condition(2)}"
        self.loops += 1
        out = self.tag(out) + self.body()
        self.loops -= 1
        if self.chance(6):
            out += self.tag("else") + self.body(1)
        return out + self.tag("endfor")

    def recursive(self):
        inner = self.pick(["{{ loop(q.c) }}", "{{ loop(q.c) if q.c }}", "{% if q.c %}[{{ loop(q.c) }}]{% endif %}", "{{ q.v }}"])
        tree = "[{'v': 1, 'c': [{'v': 2, 'c': []}, {'v': " + self.any(3) + "}]}, {'v': 3}]"
        self.loops += 1
        out = self.tag(f"for q in {tree} recursive") + "{{ q.v }}:{{ loop.depth }}" + self.output(self.loop_value("int")) + inner + self.tag("endfor")
        self.loops -= 1
        return out

    def loop_control(self):
        if not self.loops:
            return self.plain()
        return self.pick([self.tag(self.pick(["break", "continue"])), self.tag(f"if {self.condition(2)}") + self.tag(self.pick(["break", "continue"])) + self.tag("endif"),
                          self.output(self.loop_value(self.pick(["int", "bool", "str", "undefined"])))])

    def set_statement(self):
        target = self.pick(["q", "n", "s", "w", "xs", "ns.a", "ns.b", "d"])
        kind = {"n": "int", "s": "str", "xs": "list", "d": "dict"}.get(target)
        if self.chance(8):
            return self.tag(f"set q, w = {self.pick([self.any(1) + ', ' + self.any(1), 'nest[0]', self.expr('list', 1)])}")
        return self.tag(f"set {target} = {self.expr(kind, 1) if kind else self.any(1)}")

    def set_block(self):
        filters = self.pick(["", "", " | upper", " | trim | title", " | replace('a', 'x')", " | length"])
        return self.tag(f"set {self.pick(['q', 's', 'w', 'ns.a'])}{filters}") + self.body(2) + self.tag("endset")

    def macro(self):
        name = self.pick(["mac", "fn"])
        parameters = self.pick(["", "a", "a, b", f"a, b={self.any(3)}", f"a={self.any(3)}, b=a", "q, n=2"])
        loops, self.loops = self.loops, 0
        body = self.body(2)
        self.loops = loops
        body += self.pick(["{{ a }}", "{{ a ~ b }}", "{{ caller() }}", "{{ kwargs }}", "{{ varargs }}", "{{ caller(1) if caller }}", "{{ " + name + ".name }}{{ " + name + ".arguments }}", ""])
        self.macros.append(name)
        return self.tag(f"macro {name}({parameters})") + body + self.tag("endmacro")

    def call_block(self):
        if not self.macros:
            return self.plain()
        loops, self.loops = self.loops, 0
        out = self.tag(f"call{self.pick(['', '', '(x)', '(x, y=2)'])} {self.pick(self.macros)}({self.any(2)})") + self.body(2) + self.pick(["", "{{ x }}"]) + self.tag("endcall")
        self.loops = loops
        return out

    def filter_block(self):
        return self.tag(f"filter {self.pick(['upper', 'trim', 'title|trim', 'indent(2)', 'replace(' + repr('a') + ', ' + repr('b') + ')', 'e', 'tojson', 'length', 'reverse', 'center(9)'])}") + self.body(2) + self.tag("endfilter")

    def with_statement(self):
        return self.tag(f"with {self.pick(['', 'w = ' + self.any(1), 'w = ' + self.any(2) + ', n = ' + self.any(2), 'n = 3, q = n'])}") + self.body(2) + self.tag("endwith")

    def comment(self):
        return self.pick(["{# c #}", "{#- c -#}", "{# {{ x }} #}", "{#\n#}\n", "  {# c #}\n", "{#+ c +#}"])

    def raw(self):
        return self.pick(["{% raw %}{{ x }}{% endraw %}", "{%- raw -%} {% if %} {%- endraw -%}", "{% raw %}\n a {% endraw %}\n"])

    def namespace(self):
        return self.tag(f"set ns = namespace({self.pick(['a=' + self.any(2), 'a=1, b=' + self.any(2), '', 'd'])})")

    def generation(self):
        loops, self.loops = self.loops, 0
        out = self.tag("generation") + self.body(2) + self.tag("endgeneration")
        self.loops = loops
        return out

    def template(self):
        begin = ""
        if self.chance(2):
            begin += "{% set ns = namespace(a=1) %}"
        if self.chance(2):
            begin += "{% macro mac(a, b=2) %}[{{ a }}{{ b }}]{% endmacro %}"
            self.macros.append("mac")
        out = begin + "".join(self.statement() + self.space() for _ in range(self.rng.randint(1, 4)))
        if self.chance(40):  # broken somewhere
            at = self.rng.randrange(len(out))
            out = out[:at] + self.pick(["", "{", "}", "'", "(", "%}", "|", ".", ",", "1", " "]) + out[at + 1:]
        return out


def make(rng):
    """A random template and its variables."""
    return Generator(rng).template(), VARIABLES


def comparable(text):
    """Whether what jinja2 made can be compared: no addresses, whose values are accidents, and not huge."""
    return " at 0x" not in text.lower() and "0x7f" not in text.lower() and len(text) < 200_000
