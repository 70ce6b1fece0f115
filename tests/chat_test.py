"""`phial chat` as a person uses it: through a pseudo-terminal, on the golden checkpoints. Standard
library only.

usage: chat_test.py --phial PROGRAM --models tests/golden/models [unittest arguments]
"""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

import test_program

PHIAL = ""
MODELS = ""
TIMEOUT = 20
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PROMPT = r"> $"


class Terminal:
    """A program with a terminal of its own: what is typed goes in, what it shows comes out."""

    def __init__(self, arguments, env, columns=80, ignore_hang_up=False):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # Whoever runs the test in the background has them ignored; a terminal does not.
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            if ignore_hang_up:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.execve(arguments[0], arguments, env)
        self.shown = ""
        self.resize(columns)

    def resize(self, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def type(self, text):
        data = text.encode() if isinstance(text, str) else text
        while data:
            data = data[os.write(self.fd, data[:1024]):]
            self.read(0)

    def read(self, seconds):
        """Adds what is shown within `seconds` to self.shown; False at the end."""
        while select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            if not data:
                return False
            self.shown += data.decode(errors="replace")
            seconds = 0
        return True

    def wait_for(self, pattern, seconds=TIMEOUT):
        """Waits until `pattern` is shown; returns all that was shown up to now, as plain text, and
        begins anew."""
        end = time.monotonic() + seconds
        alive = True
        while alive and time.monotonic() < end:
            alive = self.read(0.05)
            if re.search(pattern, self.plain()):
                text = self.plain()
                self.shown = ""
                return text
        raise AssertionError(f"{pattern!r} did not come; shown: {self.plain()[-2000:]!r}")

    def plain(self):
        return ESCAPES.sub("", self.shown).replace("\r", "")

    def exit_code(self, seconds=TIMEOUT):
        """As subprocess tells it: negative for a signal."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            if self.fd >= 0:
                self.read(0.02)
            else:
                time.sleep(0.02)
        raise AssertionError("the program does not end")

    def hang_up(self):
        os.close(self.fd)
        self.fd = -1

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


class Case(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="phial_chat_")
        self.addCleanup(shutil.rmtree, self.folder)
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith("PHIAL_") and k not in ("NO_COLOR", "LC_ALL", "LANG")}
        self.env.update(HOME=self.folder, TERM="xterm", XDG_STATE_HOME=self.path("state"),
                        LC_ALL="C.UTF-8")

    def path(self, name):
        return os.path.join(self.folder, name)

    def model(self, context=100000):
        """llama-smol with another context."""
        folder = self.path(f"model{context}")
        if not os.path.exists(folder):
            shutil.copytree(os.path.join(MODELS, "llama-smol"), folder)
            with open(folder + "/config.json", encoding="utf-8") as file:
                config = json.load(file)
            config["max_position_embeddings"] = context
            with open(folder + "/config.json", "w", encoding="utf-8") as file:
                json.dump(config, file)
        return folder

    def chat(self, *arguments, context=100000, columns=80, env=None, ignore_hang_up=False):
        terminal = Terminal([PHIAL, "chat", self.model(context), "--threads", "1", *arguments],
                            {**self.env, **(env or {})}, columns, ignore_hang_up)
        self.addCleanup(terminal.close)
        terminal.greeting = terminal.wait_for(PROMPT)
        return terminal

    def ask(self, terminal, text, ends=r"> $"):
        """Types a line; returns what comes behind its echo, which ends with `ends`."""
        terminal.type(text + "\r")
        return terminal.wait_for(r"\n[\s\S]*?(" + ends + ")").split("\n", 1)[1]

    def saved(self, terminal, name="talk.json"):
        self.assertIn("saved", self.ask(terminal, "/save " + self.path(name)))
        with open(self.path(name), encoding="utf-8") as file:
            return json.load(file)

    def messages(self, terminal):
        return [(m["role"], m["content"]) for m in self.saved(terminal)["messages"]]

    def stats(self, terminal):
        """Tokens of the prompt: all, kept, computed; of the answer; of the context."""
        text = self.ask(terminal, "/stats").replace(",", "")
        prompt = re.search(r"prompt +(\d+) tokens?: (\d+) kept (\d+) computed", text)
        answer = re.search(r"answer +(\d+) token", text)
        context = re.search(r"context +(\d+) of", text)
        return [int(n) for n in prompt.groups()] + [int(answer[1]), int(context[1])]

    def run_chat(self, *arguments, stdin=b"", context=100000):
        return subprocess.run([PHIAL, "chat", self.model(context), "--threads", "1", *arguments],
                              input=stdin, capture_output=True, env=self.env, timeout=TIMEOUT,
                              check=False)

    def tokens(self, text):
        result = subprocess.run([PHIAL, "tokenize", "--json", "--no-special-tokens", self.model()],
                                input=text.encode(), capture_output=True, check=True,
                                timeout=TIMEOUT)
        return json.loads(result.stdout)["ids"]

    def phial_json(self, *arguments):
        return json.loads(subprocess.run([PHIAL, *arguments, "--json"], stdin=subprocess.DEVNULL,
                                         capture_output=True, check=True, timeout=TIMEOUT).stdout)


class Typing(Case):
    def test_several_lines(self):
        chat = self.chat("--max-new-tokens", "3")
        self.ask(chat, "one\\", r"\. $")
        self.ask(chat, "two")
        self.ask(chat, '"""', r"\. $")
        self.ask(chat, "three", r"\. $")
        self.ask(chat, 'four"""')
        self.ask(chat, '"""five"""')
        users = [text for role, text in self.messages(chat) if role == "user"]
        self.assertEqual(users, ["one\ntwo", "three\nfour", "five"])

    def test_interrupt_while_typing_drops_the_message(self):
        chat = self.chat("--max-new-tokens", "3")
        chat.type("never asked\x03")
        self.assertIn("/quit", chat.wait_for(r"/quit.*\n[\s\S]*> $"))
        self.ask(chat, "begun\\", r"\. $")
        chat.type("\x03")
        chat.wait_for(r"/quit.*\n[\s\S]*> $")
        self.ask(chat, "asked")
        self.assertEqual([t for r, t in self.messages(chat) if r == "user"], ["asked"])

    def test_pasted_text_is_one_message(self):
        chat = self.chat("--max-new-tokens", "2")
        # Words that are one token of the small vocabulary each.
        lines = ["café, 漢字, \\ and \"\"\" are text.\\"] + [" capital total values" * 3] * 800
        pasted = "\n".join(lines)[:50_000]
        self.assertEqual(len(pasted), 50_000)
        chat.type("Sum up: \x1b[200~" + pasted.replace("\n", "\r") + "\x1b[201~")
        self.assertIn("[pasted text 1:", chat.wait_for(r"kB\]"))
        self.ask(chat, " thanks")
        self.assertEqual(self.messages(chat)[0], ("user", "Sum up: " + pasted + " thanks"))

    def test_a_short_paste_can_be_edited(self):
        chat = self.chat("--max-new-tokens", "2")
        chat.type("\x1b[200~caff\x1b[201~\x08\x08fé 漢")
        self.ask(chat, "!")
        self.assertEqual(self.messages(chat)[0], ("user", "cafffé 漢!".replace("fff", "f")))

    def test_pasted_text_is_no_command(self):
        chat = self.chat("--max-new-tokens", "2")
        chat.type("\x1b[200~/quit\rnow\x1b[201~")
        self.ask(chat, "")
        self.assertEqual(self.messages(chat)[0], ("user", "/quit\nnow"))

    def test_history(self):
        chat = self.chat("--max-new-tokens", "2")
        self.ask(chat, "first question")
        chat.type("\x04")
        self.assertEqual(chat.exit_code(), 0)
        path = self.path("state/phial/chat_history")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        again = self.chat("--max-new-tokens", "2")
        again.type("\x1b[A")
        again.wait_for("first question")
        self.ask(again, "?")
        self.assertEqual(self.messages(again)[0][1], "first question?")
        self.ask(again, "/bye", "$")
        self.assertEqual(again.exit_code(), 0)
        before = os.stat(path).st_size
        self.ask(self.chat("--no-history", "--max-new-tokens", "2"), "not kept")
        self.assertEqual(os.stat(path).st_size, before)

    def test_tab_completes(self):
        chat = self.chat("--max-new-tokens", "2")
        chat.type("/und\t")
        chat.wait_for("/undo ")
        chat.type("\x15/set max\t5\r")
        chat.wait_for("max-new-tokens 5")
        chat.type("/lo\t" + self.folder + "/nofi\x15/s\t\t")
        shown = chat.wait_for("/system")
        for name in ("/save", "/set", "/stats"):
            self.assertIn(name, shown)

    def test_unknown_commands_are_not_asked(self):
        chat = self.chat("--max-new-tokens", "2")
        self.assertIn("did you mean /undo", self.ask(chat, "/undu"))
        self.assertIn("temperature 0", self.ask(chat, "/set temperature 0"))
        self.assertIn("/help", self.ask(chat, "/xyzzyxyzzy"))
        self.assertIn("/regen", self.ask(chat, "/help"))
        self.assertEqual(self.messages(chat), [])
        self.ask(chat, " /undo is a command")
        self.assertEqual(self.messages(chat)[0], ("user", " /undo is a command"))


class Turns(Case):
    def test_interrupt_keeps_the_answer(self):
        chat = self.chat("--ignore-eos")
        chat.type("Go on for ever.\r")
        chat.wait_for(r"\n[\s\S]*\S\S\S")
        time.sleep(0.3)
        sent = time.monotonic()
        chat.type("\x03")
        self.assertIn("stopped", chat.wait_for(PROMPT))
        self.assertLess(time.monotonic() - sent, 5)
        (_, question), (role, answer) = self.messages(chat)
        self.assertEqual((question, role), ("Go on for ever.", "assistant"))
        self.assertTrue(answer.strip())
        # What was answered is part of the conversation, and not read again.
        context = self.stats(chat)[4]
        self.ask(chat, "/set max-new-tokens 3")
        self.ask(chat, "And now?")
        _, kept, computed, _, _ = self.stats(chat)
        self.assertEqual(kept, context - 1)
        self.assertLess(computed, 40)

    def test_only_new_tokens_are_computed(self):
        chat = self.chat("--max-new-tokens", "40", "--temperature", "1", "--seed", "7",
                         "--ignore-eos")
        ids, held = [], 0
        for question in ("Tell me one.", "And another one.", "A third?"):
            self.ask(chat, question)
            total, kept, computed, new, context = self.stats(chat)
            # The last token of an answer was drawn, but not yet read.
            self.assertEqual(kept, max(0, held - 1), question)
            self.assertEqual(kept + computed, total)
            self.assertEqual(context, total + new)
            held = context
            saved = self.saved(chat)
            now = [i for part in saved["tokens"] for i in part["ids"]]
            self.assertEqual(now[:len(ids)], ids, "what was read stays as it was")
            self.assertEqual(len(now), context)
            ids = now
        # The model writes what no tokenizer would: its own tokens are kept all the same.
        answers = [part for part in saved["tokens"] if part["answer"]]
        self.assertEqual(len(answers), 3)
        differ = [self.tokens(part["text"]) != part["ids"] for part in answers]
        self.assertIn(True, differ)
        self.assertEqual(saved["messages"][-1]["role"], "assistant")

    def test_same_tokens_as_run(self):
        chat = self.chat("--greedy", "--max-new-tokens", "12")
        self.ask(chat, "Hello there")
        saved = self.saved(chat)
        run = self.phial_json("run", self.model(), "Hello there", "--greedy", "--max-new-tokens",
                              "12")
        self.assertEqual(saved["tokens"][0]["ids"], run["prompt_ids"])
        self.assertEqual(saved["tokens"][1]["ids"], run["outputs"][0]["ids"])
        self.assertEqual(saved["messages"][1]["content"], run["outputs"][0]["text"])

    def test_regenerate_and_undo(self):
        chat = self.chat("--max-new-tokens", "8", "--seed", "3", "--temperature", "1.5")
        self.assertIn("no answer", self.ask(chat, "/regen"))
        self.assertIn("nothing to take back", self.ask(chat, "/undo"))
        self.ask(chat, "One")
        self.ask(chat, "Two")
        first = self.messages(chat)
        self.ask(chat, "/regen")
        second = self.messages(chat)
        self.assertEqual(second[:3], first[:3])
        self.assertNotEqual(second[3], first[3], "other random numbers")
        _, kept, computed, _, _ = self.stats(chat)
        self.assertLessEqual(computed, 1, "the question was read before")
        self.ask(chat, "/undo")
        self.assertEqual(self.messages(chat), first[:2])
        self.ask(chat, "/set temperature default")
        self.ask(chat, "/set greedy on")
        self.ask(chat, "Two")
        greedy = self.messages(chat)
        self.assertIn("same answer", self.ask(chat, "/regen"))
        self.assertEqual(self.messages(chat), greedy)
        self.ask(chat, "/clear")
        self.assertEqual(self.messages(chat), [])

    def test_save_and_load(self):
        chat = self.chat("--greedy", "--max-new-tokens", "20")
        self.ask(chat, "/system Be brief.")
        self.ask(chat, "What is glass?")
        self.ask(chat, "/set max-new-tokens 10")
        saved = self.saved(chat)
        self.assertEqual(saved["messages"][0], {"role": "system", "content": "Be brief."})
        self.assertEqual(saved["options"], {"--greedy": [""], "--max-new-tokens": ["10"]})
        self.assertEqual(saved["cache"], "talk.json.kv")
        self.ask(chat, "And sand?")
        gone_on_stats = self.stats(chat)[:3]
        gone_on = self.saved(chat, "gone_on.json")

        other = self.chat()
        self.assertIn("loaded: 3 messages", self.ask(other, "/load " + self.path("talk.json")))
        self.assertEqual(self.without_cache(other, "again.json"), {**saved, "cache": None})
        self.ask(other, "And sand?")
        total, kept, computed = self.stats(other)[:3]
        self.assertEqual([total, kept, computed], gone_on_stats, "as if it had never been away")
        self.assertLess(computed, total - 40)
        self.assertEqual(self.without_cache(other, "other.json"), {**gone_on, "cache": None})

        # Where there is no memory for what is held and what is loaded at once, too.
        small = self.chat("--max-memory", "4M")
        self.assertIn("tokens of the model's 100,000", small.greeting)
        self.ask(small, "/load " + self.path("talk.json"))
        self.ask(small, "And sand?")
        self.assertEqual(self.stats(small)[:3], gone_on_stats)

        third = self.chat("--load", self.path("gone_on.json"), "--max-new-tokens", "2")
        self.assertEqual(self.saved(third, "third.json")["options"]["--max-new-tokens"], ["2"])

    def without_cache(self, terminal, name):
        saved = self.saved(terminal, name)
        self.assertEqual(saved["cache"], name + ".kv")
        return {**saved, "cache": None}

    def test_a_cache_that_does_not_fit_is_read_anew(self):
        chat = self.chat("--greedy", "--max-new-tokens", "8")
        self.ask(chat, "What is glass?")
        saved = self.saved(chat, "first.json")
        self.ask(chat, "And sand?")
        gone_on = self.saved(chat, "gone_on.json")
        with open(self.path("first.json.kv"), "rb") as file:
            good = file.read()
        flipped = bytearray(good)
        flipped[-5] ^= 4
        with open(self.path("gone_on.json.kv"), "rb") as file:
            later = file.read()
        for cache, notice in ((good[:-9], "ends inside"), (bytes(flipped), "checksum"),
                              (later, "another conversation"), (b"{}", "not a saved sequence"),
                              (None, "no such file")):
            if cache is None:
                os.unlink(self.path("first.json.kv"))
            else:
                with open(self.path("first.json.kv"), "wb") as file:
                    file.write(cache)
            other = self.chat()
            shown = self.ask(other, "/load " + self.path("first.json"))
            self.assertIn("loaded: 2 messages", shown)
            self.assertIn(notice, shown.replace("\r\n", " "))
            self.ask(other, "And sand?")
            total, kept, computed = self.stats(other)[:3]
            self.assertEqual((kept, computed), (0, total), notice)
            self.assertEqual(self.messages(other), [(m["role"], m["content"])
                                                    for m in gone_on["messages"]])
        # What names no file beside it is no name.
        for name in ("../first.json.kv", "", "/dev/zero", 3):
            with open(self.path("bad.json"), "w", encoding="utf-8") as file:
                json.dump({**saved, "cache": name}, file)
            self.assertIn("bad.json", self.ask(chat, "/load " + self.path("bad.json")))

    def test_damaged_files_change_nothing(self):
        chat = self.chat("--greedy", "--max-new-tokens", "4")
        self.ask(chat, "What is glass?")
        good = self.saved(chat)
        damaged = ["", "[]", "{", '{"format":"phial-chat"}']
        for key in good:
            damaged.append(json.dumps({k: v for k, v in good.items() if k != key}))
            for value in (None, 3, "x", [1], {"a": 1}, [[]], [{}]):
                damaged.append(json.dumps({**good, key: value}))
        for ids in ([-1], [1 << 40], ["x"], [10 ** 6], []):
            damaged.append(json.dumps(
                {**good, "tokens": [{"answer": False, "text": "x", "ids": ids}]}))
        refused = 0
        for text in damaged:
            with open(self.path("bad.json"), "w", encoding="utf-8") as file:
                file.write(text)
            shown = self.ask(chat, "/load " + self.path("bad.json"), r"\n> $|^> $")
            if "loaded" in shown:  # such as no messages at all
                self.ask(chat, "/load " + self.path("talk.json"))
                continue
            refused += 1
            self.assertIn("bad.json" if "vocabulary" not in shown else "vocabulary", shown)
            self.assertEqual(self.saved(chat, "after.json")["messages"], good["messages"])
        self.assertGreater(refused, len(damaged) - 6)
        self.assertIn("cannot be read",
                      self.ask(chat, "/load " + self.path("none")))

    def test_a_system_message_that_changes_is_read_anew(self):
        chat = self.chat("--greedy", "--max-new-tokens", "4", "--system", "A")
        self.ask(chat, "What is glass?")
        self.ask(chat, "/system B")
        self.ask(chat, "And sand?")
        total, kept, computed, _, _ = self.stats(chat)
        self.assertEqual(kept + computed, total)
        self.assertLess(kept, 10)
        self.ask(chat, "/system none")
        self.assertEqual(self.messages(chat)[0][0], "user")

    def test_template_is_shown(self):
        chat = self.chat("--greedy", "--max-new-tokens", "2", "--system", "Be a bottle.")
        self.ask(chat, "What is glass?")
        shown = self.ask(chat, "/template")
        self.assertIn("<|im_start|>system\nBe a bottle.<|im_end|>\n<|im_start|>user\nWhat is glass?",
                      shown)


class Full(Case):
    def fill(self, chat):
        shown = ""
        for i in range(8):
            shown += self.ask(chat, f"Question {i}: what is glass made of, and how?", r"> $|\] $")
            if re.search("full", shown):
                return shown
        self.fail("the context did not fill: " + shown)

    def test_slide(self):
        chat = self.chat("--on-full", "slide", "--max-new-tokens", "20", "--ignore-eos",
                         context=160)
        self.assertRegex(self.fill(chat), "context is full: the oldest .* forgotten")
        messages = self.messages(chat)
        self.assertNotIn("Question 0", messages[0][1])
        self.assertEqual(messages[-1][0], "assistant")

    def test_stop(self):
        chat = self.chat("--on-full", "stop", "--max-new-tokens", "20", "--ignore-eos",
                         context=160)
        self.assertIn("--on-full slide", self.fill(chat))
        self.assertEqual(self.messages(chat)[-1][0], "assistant", "the question is taken back")

    def test_ask(self):
        for answer, expected in (("f", "forgotten"), ("s", "--on-full slide")):
            chat = self.chat("--max-new-tokens", "20", "--ignore-eos", context=160)
            self.fill(chat)
            self.assertIn(expected, self.ask(chat, answer))
            self.assertEqual(self.messages(chat)[0][1].startswith("Question 0"), answer == "s")

    def test_an_answer_that_outgrows_the_context_goes_on(self):
        chat = self.chat("--on-full", "slide", "--max-new-tokens", "60", "--ignore-eos",
                         "--greedy", context=160)
        self.ask(chat, "One?")
        shown = self.ask(chat, "Two?")
        self.assertIn("forgotten", shown)
        self.assertEqual(self.stats(chat)[3], 60)
        self.assertEqual([r for r, _ in self.messages(chat)], ["user", "assistant"])
        shown = self.ask(self.chat("--on-full", "slide", "--ignore-eos", context=160), "Three?")
        self.assertIn("the answer ends here", shown)
        self.assertIn("stopped: context full", shown)

    def test_a_message_that_never_fits(self):
        chat = self.chat("--max-new-tokens", "5", "--on-full", "slide", context=160)
        self.ask(chat, "Short.")
        before = self.messages(chat)
        self.assertIn("the message takes", self.ask(chat, "word " * 200))
        self.ask(chat, "Short.")
        self.assertEqual(before, [("user", "Short."), before[1]])


class Screen(Case):
    def test_resize(self):
        chat = self.chat("--ignore-eos", "--max-new-tokens", "4000", columns=100)
        chat.type("Go on.\r")
        chat.wait_for(r"\n[\s\S]*\n[\s\S]*\S\S")
        chat.resize(30)
        chat.wait_for(r"\n")
        chat.type("\x03")
        chat.wait_for(PROMPT)
        chat.resize(24)
        chat.type("x" * 60)  # wraps over three rows
        chat.wait_for("xxx")
        chat.resize(60)
        self.ask(chat, " what?", r"\n[\s\S]*\S")
        chat.type("\x03")
        chat.wait_for(PROMPT)
        self.assertEqual(self.messages(chat)[2][1], "x" * 60 + " what?")

    def test_lines_fit_narrow_terminals(self):
        chat = self.chat("--greedy", "--max-new-tokens", "300", "--ignore-eos", columns=40)
        shown = self.ask(chat, "Say a lot.")
        answer = shown[:shown.index("300 tokens")]
        longest = max(len(line) for line in answer.split("\n"))
        self.assertLess(longest, 40)
        self.assertGreater(longest, 20)
        self.assertTrue(self.ask(self.chat("--max-new-tokens", "20", columns=5), "Hi"))

    def test_a_terminal_that_dies(self):
        for busy in (False, True):
            chat = self.chat("--ignore-eos", "--max-new-tokens", "100000" if busy else "5")
            chat.type("Remember me.\r")
            chat.wait_for(r"\n[\s\S]*\S\S\S" if busy else PROMPT)
            if not busy:
                chat.type("half a line")
            chat.hang_up()
            self.assertEqual(chat.exit_code(10), -signal.SIGHUP, busy)
            path = self.path("state/phial/rescued-chat.json")
            with open(path, encoding="utf-8") as file:
                talk = json.load(file)
            self.assertEqual(talk["messages"][0]["content"], "Remember me.")
            self.assertEqual(os.stat(path).st_mode & 0o77, 0)
            os.unlink(path)
            again = self.chat("--max-new-tokens", "5")
            self.assertNotIn("rescued", again.greeting)

    def test_a_terminal_that_dies_unheard(self):
        """As under nohup: no signal comes, only the end of the input."""
        chat = self.chat("--max-new-tokens", "5", ignore_hang_up=True)
        self.ask(chat, "Remember me.")
        chat.hang_up()
        self.assertEqual(chat.exit_code(10), 128 + signal.SIGHUP)
        self.assertTrue(os.path.exists(self.path("state/phial/rescued-chat.json")))

    def test_a_rescued_conversation_is_told(self):
        chat = self.chat("--max-new-tokens", "5")
        self.ask(chat, "Remember me.")
        chat.hang_up()
        chat.exit_code(10)
        again = self.chat("--max-new-tokens", "5")
        path = re.search(r"/load (\S+rescued-chat\.json)", again.greeting)[1]
        self.ask(again, "/load " + path)
        self.assertEqual(self.messages(again)[0], ("user", "Remember me."))

    def test_terminate(self):
        chat = self.chat("--max-new-tokens", "5")
        os.kill(chat.pid, signal.SIGTERM)
        self.assertEqual(chat.exit_code(10), -signal.SIGTERM)

    def test_end_of_input_leaves(self):
        chat = self.chat()
        chat.type("\x04")
        self.assertEqual(chat.exit_code(10), 0)

    def test_the_terminal_is_left_as_it_was(self):
        parent, child = pty.openpty()
        before = termios.tcgetattr(child)
        process = subprocess.Popen([PHIAL, "chat", self.model(), "--max-new-tokens", "3"],
                                   stdin=child, stdout=child, stderr=child, env=self.env)
        os.write(parent, b"Hi\r")
        time.sleep(1)
        os.write(parent, b"\x04")
        seen = b""
        while process.poll() is None:
            if select.select([parent], [], [], 0.1)[0]:
                seen += os.read(parent, 65536)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(termios.tcgetattr(child), before)
        self.assertEqual(seen.count(b"\x1b[?2004h"), seen.count(b"\x1b[?2004l"))
        os.close(parent)
        os.close(child)

    def test_no_colours_when_not_wanted(self):
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            chat = self.chat("--max-new-tokens", "30", env=env)
            chat.type("Hi\r")
            chat.read(0.2)
            end = time.monotonic() + TIMEOUT
            while "tok/s" not in chat.shown and time.monotonic() < end:
                chat.read(0.1)
            self.assertNotRegex(chat.shown, r"\x1b\[[0-9;]*m")

    def test_stats_line(self):
        chat = self.chat("--max-new-tokens", "5", "--ignore-eos")
        self.assertRegex(self.ask(chat, "Hi"),
                         r"5 tokens  [\d.]+ tok/s  context \d+ of 100,000 \(0%\)  stopped")
        quiet = self.chat("--max-new-tokens", "5", "--quiet")
        self.assertNotIn("tok/s", self.ask(quiet, "Hi"))


class Pipe(Case):
    def test_each_line_is_a_turn(self):
        result = self.run_chat("--greedy", "--max-new-tokens", "6", stdin=b"One\n\nTwo")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        messages = [{"role": "user", "content": "One"}]
        expected = []
        for question in ("Two", None):
            with open(self.path("m.json"), "w", encoding="utf-8") as file:
                json.dump(messages, file)
            text = self.phial_json("run", self.model(), "--greedy", "--max-new-tokens", "6",
                                   "--messages", self.path("m.json"))["outputs"][0]["text"]
            expected.append(text)
            messages += [{"role": "assistant", "content": text},
                         {"role": "user", "content": question}]
        self.assertEqual(result.stdout.decode().split("\n")[0], expected[0].split("\n")[0])
        self.assertTrue(result.stdout.decode().startswith(expected[0] + "\n"))
        self.assertTrue(result.stdout.endswith(b"\n"))

    def test_all_of_it_is_one_turn(self):
        result = self.run_chat("-", "--greedy", "--max-new-tokens", "6", stdin=b"One\nTwo\n")
        run = self.phial_json("run", self.model(), "One\nTwo\n", "--greedy", "--max-new-tokens",
                              "6")
        self.assertEqual(result.stdout.decode(), run["outputs"][0]["text"] + "\n")

    def test_commands_are_text(self):
        path = self.path("written.json")
        result = self.run_chat("--max-new-tokens", "2", stdin=f"Hi\n/save {path}\n".encode())
        self.assertEqual(result.returncode, 0)
        self.assertFalse(os.path.exists(path))

    def test_full_context(self):
        lines = b"What is glass made of, and how is it made?\n" * 8
        flags = ("--max-new-tokens", "10", "--ignore-eos")
        result = self.run_chat(*flags, stdin=lines, context=160)
        self.assertEqual(result.returncode, 0)
        self.assertIn(b"forgotten", result.stderr)
        result = self.run_chat(*flags, "--on-full", "stop", stdin=lines, context=160)
        self.assertEqual(result.returncode, 6)
        result = self.run_chat(*flags, stdin=b"word " * 300, context=160)
        self.assertEqual(result.returncode, 6)

    def test_wrong_usage(self):
        for code, arguments, stdin in ((2, ["--json"], b"x"), (2, ["text"], b"x"),
                                       (2, ["-"], b""), (2, ["--on-full", "maybe"], b"x"),
                                       (2, ["--greedy", "--top-k", "3"], b"x"),
                                       (3, ["--load", "/none"], b"x"),
                                       (3, ["--template", "/none"], b"x"), (3, [], b"\xff\n")):
            result = self.run_chat(*arguments, stdin=stdin)
            self.assertEqual(result.returncode, code, (arguments, result.stderr))

    def test_a_model_without_a_template(self):
        model = os.path.join(MODELS, "phi2")
        result = subprocess.run([PHIAL, "chat", model], input=b"Hi\n", capture_output=True,
                                timeout=TIMEOUT, check=False)
        self.assertEqual(result.returncode, 3)
        self.assertIn(b"--template", result.stderr)
        with open(self.path("t.jinja"), "w", encoding="utf-8") as file:
            file.write("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}A:")
        result = subprocess.run([PHIAL, "chat", model, "--template", self.path("t.jinja"),
                                 "--max-new-tokens", "5"], input=b"Hi\nThere\n",
                                capture_output=True, timeout=TIMEOUT, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)


def main():
    global PHIAL, MODELS
    PHIAL, MODELS = test_program.paths("phial", "models")
    return test_program.run()


if __name__ == "__main__":
    sys.exit(main())
