"""What phial quantize leaves behind when it is killed, when the disk is full, and when it is not:
nothing that loads but the whole output; the source as it was; the same bytes however it is run.
Standard library only.

usage: quantize_safety_test.py --phial PROGRAM --models tests/golden/models [--kills N] [--fills N]
                               [unittest arguments]
"""
import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import test_program

PHIAL = MODELS = ""
KILLS = FILLS = 0
TIMEOUT = 300
HIDDEN, INNER, LAYERS = 256, 768, 8


def small_source(folder):
    """A Llama in bfloat16 of 13 MB, so that a run takes long enough to be killed in every phase."""
    golden = os.path.join(MODELS, "llama-smol")
    for name in os.listdir(golden):
        if name.startswith(("tokenizer", "special_tokens")) or name == "vocab.json":
            shutil.copy(os.path.join(golden, name), folder)
    with open(os.path.join(golden, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    config.update(hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
                  num_attention_heads=4, num_key_value_heads=2, head_dim=64,
                  tie_word_embeddings=True)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)
    shapes = {"model.embed_tokens": [config["vocab_size"], HIDDEN], "model.norm": [HIDDEN]}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        shapes.update({
            at + "input_layernorm": [HIDDEN], at + "post_attention_layernorm": [HIDDEN],
            at + "self_attn.q_proj": [256, HIDDEN], at + "self_attn.k_proj": [128, HIDDEN],
            at + "self_attn.v_proj": [128, HIDDEN], at + "self_attn.o_proj": [HIDDEN, 256],
            at + "mlp.gate_proj": [INNER, HIDDEN], at + "mlp.up_proj": [INNER, HIDDEN],
            at + "mlp.down_proj": [HIDDEN, INNER]})
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * shape[0] * (shape[1] if len(shape) == 2 else 1)
        header[name + ".weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    generator = random.Random(7)
    values = bytearray(generator.randbytes(end))
    # The high byte says sign and exponent: values of either sign between 2^-9 and 2^-5.
    values[1::2] = generator.randbytes(end // 2).translate(bytes((0x3B, 0x3C, 0xBB, 0xBC)) * 64)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + values)


def digest(path):
    """Of a file, or of all files of a folder with their names; None where there is nothing."""
    if not os.path.exists(path):
        return None
    state = hashlib.sha256()
    names = [path] if os.path.isfile(path) else sorted(
        os.path.join(at, name) for at, _, found in os.walk(path) for name in found)
    for name in names:
        state.update(os.path.relpath(name, path).encode())
        with open(name, "rb") as file:
            state.update(file.read())
    return state.hexdigest()


def remove(path):
    (shutil.rmtree if os.path.isdir(path) else os.remove)(path)


def phial(*arguments, **options):
    return subprocess.run([PHIAL, *arguments], capture_output=True, timeout=TIMEOUT, check=False,
                          **options)


def can_mount():
    """Whether a file system in memory can be mounted here."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    folder = tempfile.mkdtemp(prefix="phial_mount_")
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder],
                              capture_output=True, check=False)
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return done.returncode == 0
    finally:
        os.rmdir(folder)


class Safety(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="phial_safety_")
        cls.addClassCleanup(shutil.rmtree, cls.root)
        cls.source = os.path.join(cls.root, "source")
        os.mkdir(cls.source)
        small_source(cls.source)
        cls.source_digest = digest(cls.source)

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="run_", dir=self.root)
        self.addCleanup(shutil.rmtree, self.folder)

    def command(self, target, output, *more):
        return [PHIAL, "quantize", self.source, "-o", output, "--to", target, "--quiet", *more]

    def good(self, target, output, *more):
        done = subprocess.run(self.command(target, output, *more), capture_output=True,
                              timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return digest(output)

    def check_leftovers(self, folder, output, allowed):
        """Under the output's name there is nothing or something whole; all else does not load."""
        self.assertIn(digest(output), allowed)
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if path != output:
                self.assertNotEqual(phial("info", path).returncode, 0, f"{name} loads")
        self.assertEqual(digest(self.source), self.source_digest)

    def check_next_run(self, target, output, whole):
        self.assertEqual(self.good(target, output), whole)
        self.assertEqual(os.listdir(self.folder), [os.path.basename(output)])
        self.assertEqual(phial("info", output).returncode, 0)

    def kill_often(self, target, name, old_target, kills, seed):
        output = os.path.join(self.folder, name)
        begin = time.monotonic()
        whole = self.good(target, output)
        length = time.monotonic() - begin
        old = self.good(old_target, output) if old_target else None
        instants = random.Random(seed)
        killed = 0
        for _ in range(kills):
            if not old_target and os.path.exists(output):
                remove(output)
            # Some come before the first byte, some behind the last.
            with subprocess.Popen(self.command(target, output), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as run:
                begin = time.monotonic()
                try:
                    run.wait(instants.uniform(0, 1.1 * length))
                    length = min(length, time.monotonic() - begin)  # the machine is less busy now
                except subprocess.TimeoutExpired:
                    run.send_signal(signal.SIGKILL)
                    run.wait(TIMEOUT)
                    killed += 1
            self.check_leftovers(self.folder, output, {old, whole})
        self.assertGreater(killed, kills // 3, "most runs ended before they were killed")
        if os.path.isdir(output):
            shutil.rmtree(output)
        self.check_next_run(target, output, whole)

    def test_killed_while_writing_a_file(self):
        self.kill_often("gguf:q4_k_m", "out.gguf", None, KILLS // 3, 1)

    def test_killed_while_replacing_a_file(self):
        self.kill_often("gguf:q4_0", "out.gguf", "gguf:q8_0", KILLS // 3, 2)

    def test_killed_while_writing_a_folder(self):
        self.kill_often("mlx:4", "out", None, KILLS - 2 * (KILLS // 3), 3)

    def test_killed_while_writing_a_packed_file(self):
        self.kill_often("phial:q4_0", "out", None, KILLS // 3, 4)

    def fill(self, target, name, points, run):
        """`run(output, bytes)` with room for a share of the output; returns how many runs failed."""
        reference = os.path.join(self.folder, name)
        whole = self.good(target, reference)
        size = sum(os.path.getsize(os.path.join(at, file))
                   for at, _, found in os.walk(self.folder) for file in found)
        remove(reference)
        for point in range(points):
            room = size * point // points
            with self.subTest(target=target, room=room, size=size):
                run(target, name, room)
        self.check_next_run(target, reference, whole)
        remove(reference)

    def expect_full(self, target, output, folder, **options):
        done = subprocess.run([*self.command(target, output), "--json"], capture_output=True,
                              timeout=TIMEOUT, check=False, **options)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(json.loads(done.stdout)["error"]["code"], "io_error")
        self.assertIsNone(digest(output))
        self.check_leftovers(folder, output, {None})

    def test_limit_of_file_sizes(self):
        """Where nothing can be mounted: no file may grow beyond a limit (EFBIG in place of
        ENOSPC). The largest file is most of the output."""
        def run(target, name, room):
            # Python passes on that SIGXFSZ is ignored, unless it is told to restore signals.
            output = os.path.join(self.folder, name)
            self.expect_full(target, output, self.folder, restore_signals=False,
                             preexec_fn=lambda: resource.setrlimit(
                                 resource.RLIMIT_FSIZE, (room * 9 // 10, resource.RLIM_INFINITY)))
        self.fill("gguf:q4_0", "out.gguf", FILLS // 2, run)

    def test_full_disk(self):
        if not can_mount():
            self.skipTest("no file system can be mounted here")

        def run(target, name, room):
            disk = os.path.join(self.folder, "disk")
            os.mkdir(disk)
            # Pages and entries of the file system itself take some more.
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={max(4096, room * 95 // 100)}",
                            "none", disk], check=True, capture_output=True)
            try:
                self.expect_full(target, os.path.join(disk, name), disk)
            finally:
                subprocess.run(["umount", disk], check=True)
                os.rmdir(disk)
        for target, name in (("gguf:q4_0", "out.gguf"), ("mlx:4", "out"), ("phial:q4_k_m", "out")):
            self.fill(target, name, FILLS // 4, run)

    def test_no_file_of_the_source_is_replaced(self):
        copy = os.path.join(self.folder, "copy")
        shutil.copytree(self.source, copy)
        before = digest(copy)
        plot = os.path.join(self.folder, "out.gguf")
        for arguments in (["-o", f"{copy}/config.json", "--to", "gguf:q8_0"],
                          ["-o", f"{copy}/model.safetensors", "--to", "gguf:q8_0"],
                          ["-o", f"{copy}/tokenizer.json", "--to", "gguf:q8_0"],
                          ["-o", copy, "--to", "mlx:4"],
                          ["-o", plot, "--to", "gguf:q8_0", "--plot", f"{copy}/config.json"]):
            done = phial("quantize", copy, *arguments)
            self.assertEqual(done.returncode, 2, (arguments, done.stderr))
            self.assertEqual(digest(copy), before, arguments)
        self.assertFalse(os.path.exists(plot), "the plot is refused before the work")
        self.assertEqual(phial("quantize", copy, "-o", f"{copy}/out.gguf", "--to",
                               "gguf:q8_0").returncode, 0)

    def test_what_is_to_be_read_later_is_read_first(self):
        output = os.path.join(self.folder, "out.gguf")
        for arguments in (["--eval", f"{self.folder}/none.txt"],
                          ["--plot", f"{self.folder}/p.svg", "--plot-with", f"{self.folder}/none"],
                          ["--plot", f"{self.folder}/none/p.svg"]):
            done = subprocess.run(self.command("gguf:q8_0", output, *arguments),
                                  capture_output=True, timeout=TIMEOUT, check=False)
            self.assertNotEqual(done.returncode, 0, arguments)
            self.assertFalse(os.path.exists(output), arguments)

    def test_values_too_large_for_the_grid(self):
        copy = os.path.join(self.folder, "copy")
        shutil.copytree(self.source, copy)
        with open(os.path.join(copy, "model.safetensors"), "r+b") as file:
            header = file.read(struct.unpack("<Q", file.read(8))[0])
            begin = json.loads(header)["model.layers.0.mlp.down_proj.weight"]["data_offsets"][0]
            file.seek(8 + len(header) + begin + 2 * (5 * INNER + 3))  # row 5, column 3
            file.write(struct.pack("<H", 0x4974))  # 999424
        output = os.path.join(self.folder, "out")
        for target in ("gguf:f16", "gguf:q4_0", "gguf:q4_1", "safetensors:f16"):
            done = phial("quantize", copy, "-o", output, "--to", target)
            self.assertEqual(done.returncode, 4, (target, done.stderr))
            self.assertIn(b"row 5 ", done.stderr)
            self.assertEqual(os.listdir(self.folder), ["copy"], target)
        self.assertEqual(phial("quantize", copy, "-o", output, "--to", "gguf:bf16").returncode, 0)

    def test_folders_of_templates_come_along(self):
        copy = os.path.join(self.folder, "copy")
        shutil.copytree(self.source, copy)
        os.mkdir(f"{copy}/additional_chat_templates")
        with open(f"{copy}/additional_chat_templates/rag.jinja", "w", encoding="utf-8") as file:
            file.write("{{ messages[0].content }}")
        for target in ("mlx:4", "safetensors"):
            output = os.path.join(self.folder, target.replace(":", "_"))
            done = phial("quantize", copy, "-o", output, "--to", target)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(digest(f"{output}/additional_chat_templates/rag.jinja"),
                             digest(f"{copy}/additional_chat_templates/rag.jinja"))

    def test_interrupted(self):
        output = os.path.join(self.folder, "out.gguf")
        for _ in range(20):
            with subprocess.Popen([*self.command("gguf:q4_k_m", output), "--json"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
                while not os.listdir(self.folder) and run.poll() is None:
                    time.sleep(0.001)
                run.send_signal(signal.SIGINT)
                out, _ = run.communicate(timeout=TIMEOUT)
            if run.returncode == 0:  # had come to its end
                remove(output)
                continue
            self.assertEqual(run.returncode, 130)
            self.assertEqual(json.loads(out)["error"]["code"], "cancelled")
            self.assertEqual(os.listdir(self.folder), [])
            return
        self.fail("every run ended before it was interrupted")

    def test_interrupted_while_it_is_measured(self):
        text, places = os.path.join(self.folder, "text.txt"), os.path.join(self.folder, "places")
        os.mkdir(places)
        with open(text, "w", encoding="utf-8") as file:
            file.write("Every word of it is read twice, which takes long. " * 20000)
        output, plot = os.path.join(places, "out.gguf"), os.path.join(places, "plot.svg")
        with subprocess.Popen([PHIAL, "quantize", self.source, "-o", output, "--to", "gguf:q4_0",
                               "--eval", text, "--plot", plot],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as run:
            self.assertIn(b"out.gguf is complete", run.stderr.readline())
            time.sleep(0.5)
            self.interrupt(run)
        self.assertEqual(os.listdir(places), ["out.gguf"])
        self.assertEqual(phial("info", output).returncode, 0)
        with subprocess.Popen([PHIAL, "compare", self.source, output, "--text", text],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
            time.sleep(0.5)
            self.interrupt(run)
            self.assertEqual(run.stdout.read(), b"")

    def interrupt(self, run):
        self.assertIsNone(run.poll(), "it has come to its end")
        begin = time.monotonic()
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(timeout=TIMEOUT), 130)
        self.assertLess(time.monotonic() - begin, 20, "far less than what was left to do")

    def test_same_bytes_however_it_is_run(self):
        doctor = json.loads(phial("doctor", "--json").stdout)
        isas = doctor["isa"]["available"]
        self.assertIn("reference", isas)
        for target, name in (("gguf:q4_0", "out.gguf"), ("gguf:q4_k_m", "out.gguf"),
                             ("gguf:iq4_nl", "out.gguf"), ("gguf:q8_0", "out.gguf"), ("mlx:4", "out"),
                             ("safetensors:f16", "out"), ("phial:q4_k_m", "out")):
            seen = {}
            for way in (("--threads", "1"), ("--threads", "2"), ("--threads", "5"),
                        *(("--isa", isa) for isa in isas)):
                output = os.path.join(self.folder, f"{len(seen)}")
                os.mkdir(output)
                seen[way] = self.good(target, os.path.join(output, name), *way)
            self.assertEqual(len(set(seen.values())), 1, (target, seen))
            for index in range(len(seen)):
                shutil.rmtree(os.path.join(self.folder, f"{index}"))


def main():
    global PHIAL, MODELS, KILLS, FILLS
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--fills", type=int, default=50)
    options, rest = parser.parse_known_args()
    KILLS, FILLS = options.kills, options.fills
    sys.argv[1:] = rest
    PHIAL, MODELS = test_program.paths("phial", "models")
    return test_program.run()


if __name__ == "__main__":
    sys.exit(main())
