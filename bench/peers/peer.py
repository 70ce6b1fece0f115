"""The loop of a measured engine, a process of its own: it reads orders from stdin, one JSON object a line,
and answers each with one on stdout.

{"do":"load"}                              {"seconds"}   from the path to the logits of one token
{"do":"prefill","tokens":N}                {"seconds"}   N tokens from the beginning, logits of the last
{"do":"decode","depth":D,"tokens":N}       {"seconds"}   N tokens one by one behind D, after one that does
                                                         not count; the D are read before unless they are
                                                         still there
{"do":"memory"}                            {"resident","anonymous"}   peak of the one, now of the other

An engine that can be driven token by token is an object with load(), read(ids): tokens behind those it
holds, and rewind(length); Loop does the rest.
"""
import json
import os
import sys
import time

import shape


def memory():
    fields = {}
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            name, _, rest = line.partition(":")
            if name in ("VmHWM", "RssAnon"):
                fields[name] = int(rest.split()[0]) * 1024
    return {"resident": fields["VmHWM"], "anonymous": fields["RssAnon"]}


def timed(work, *arguments):
    begin = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - begin


class Loop:
    def __init__(self, engine):
        self.engine = engine
        self.held = 0  # tokens
        self.ids = shape.prompt(shape.CONTEXT)

    def load(self):
        def ready():
            self.engine.load()
            self.engine.read(self.ids[:1])
        seconds = timed(ready)
        self.held = 1
        return seconds

    def rewind(self, length):
        self.engine.rewind(length)
        self.held = length

    def prefill(self, tokens):
        self.rewind(0)
        seconds = timed(self.engine.read, self.ids[:tokens])
        self.held = tokens
        return seconds

    def decode(self, depth, tokens):
        if depth == 0:
            self.rewind(0)
            self.engine.read(self.ids[:1])
        elif self.held < depth:
            self.rewind(0)
            self.engine.read(self.ids[:depth])
        else:
            self.rewind(depth)
        start = max(depth, 1)
        self.engine.read(self.ids[start:start + 1])
        seconds = timed(lambda: [self.engine.read([i]) for i in self.ids[start + 1:start + 1 + tokens]])
        self.rewind(max(depth, 1))
        return seconds

    def obey(self, order):
        do = order.pop("do")
        if do == "memory":
            return memory()
        return {"seconds": getattr(self, do)(**order)}


def serve(loop):
    # What an engine prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(loop.obey(json.loads(line))), file=answers, flush=True)
