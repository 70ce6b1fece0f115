"""What the comparison of quantizers starts from, and how peers are called. numpy and gguf."""

import ctypes
import json
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import gguf
import numpy as np

HERE = Path(__file__).resolve().parent

# The random model: columns that are a multiple of 256, as super-blocks need them.
HIDDEN, INNER, LAYERS, HEADS, KV_HEADS = 512, 1024, 4, 8, 4


def write_random_model(folder, like):
    """A Llama of random weights in bfloat16, with the tokenizer of the folder `like`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in like.iterdir():
        if path.name.startswith(("tokenizer", "special_tokens")):
            shutil.copy(path, folder)
    config = json.loads((like / "config.json").read_text("utf-8"))
    config.update(hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
                  num_attention_heads=HEADS, num_key_value_heads=KV_HEADS,
                  head_dim=HIDDEN // HEADS)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    kv = KV_HEADS * HIDDEN // HEADS
    shapes = {"model.embed_tokens": (config["vocab_size"], HIDDEN), "model.norm": (HIDDEN,)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        shapes.update({
            at + "input_layernorm": (HIDDEN,), at + "post_attention_layernorm": (HIDDEN,),
            at + "self_attn.q_proj": (HIDDEN, HIDDEN), at + "self_attn.k_proj": (kv, HIDDEN),
            at + "self_attn.v_proj": (kv, HIDDEN), at + "self_attn.o_proj": (HIDDEN, HIDDEN),
            at + "mlp.gate_proj": (INNER, HIDDEN), at + "mlp.up_proj": (INNER, HIDDEN),
            at + "mlp.down_proj": (HIDDEN, INNER)})
    random = np.random.default_rng(11)
    header, parts, at = {}, [], 0
    for name, shape in shapes.items():
        if len(shape) == 1:
            values = 1 + 0.1 * random.standard_normal(shape)
        else:
            # A few columns and rows stand out, as in trained weights.
            values = random.standard_normal(shape) * shape[1] ** -0.5
            values *= np.exp(0.4 * random.standard_normal(shape[1]))
            values *= np.exp(0.2 * random.standard_normal((shape[0], 1)))
        data = (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        header[name + ".weight"] = {"dtype": "BF16", "shape": list(shape),
                                    "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for data in parts:
            file.write(data)


class Measured:
    """What a process took: seconds, and the most anonymous memory that it held, looked at every
    10 ms."""

    def __init__(self, command, **options):
        begin = time.perf_counter()
        with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, **options) as process:
            self.peak_anonymous = 0
            watch = threading.Thread(target=self._watch, args=(process,))
            watch.start()
            self.out, self.err = process.communicate()
            watch.join()
        self.seconds = time.perf_counter() - begin
        if process.returncode != 0:
            raise ValueError(f"{command[0]} ended with {process.returncode}: {self.err[-500:]}")

    def _watch(self, process):
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text("ascii")
            except OSError:
                return
            for line in status.splitlines():
                if line.startswith("RssAnon:"):
                    self.peak_anonymous = max(self.peak_anonymous, 1024 * int(line.split()[1]))
            time.sleep(0.01)


def llama_quantize(source, target, file_type, imatrix=None, pure=False):
    """llama.cpp's quantizer, in a process of its own; returns what it took. The time is that of
    the call alone."""
    request = {"source": str(source), "target": str(target), "type": file_type, "pure": pure,
               "imatrix": str(imatrix) if imatrix else None, "threads": os.cpu_count()}
    took = Measured([sys.executable, __file__, json.dumps(request)])
    took.seconds = json.loads(took.out.splitlines()[-1])["seconds"]
    return took


def _llama_quantize_here(request):
    import llama_cpp  # pylint: disable=import-outside-toplevel

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{request['type']}")
    params.nthread = request["threads"]
    params.pure = request["pure"]
    kept = []
    if request["imatrix"]:
        columns = read_imatrix(request["imatrix"])
        entries = (llama_cpp.llama_model_imatrix_data * (len(columns) + 1))()
        for entry, (name, values) in zip(entries, columns.items()):
            kept.append((name.encode(), np.ascontiguousarray(values, dtype=np.float32)))
            entry.name = kept[-1][0]
            entry.data = kept[-1][1].ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            entry.size = kept[-1][1].size
        params.imatrix = entries
    begin = time.perf_counter()
    failed = llama_cpp.llama_model_quantize(request["source"].encode(), request["target"].encode(),
                                            ctypes.byref(params))
    print(json.dumps({"seconds": time.perf_counter() - begin}))
    return 1 if failed else 0


def write_imatrix(path, columns, tokens, source):
    """llama.cpp's imatrix file, the GGUF form. `columns`: name of the matrix to the sum of the
    squares of each column's inputs over `tokens` rows."""
    writer = gguf.GGUFWriter(path, arch="imatrix")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", [source])
    writer.add_uint32("imatrix.chunk_count", 1)
    writer.add_uint32("imatrix.chunk_size", tokens)
    for name, sums in columns.items():
        writer.add_tensor(name + ".in_sum2", np.asarray(sums, dtype=np.float32).reshape(1, -1))
        writer.add_tensor(name + ".counts", np.full((1, 1), tokens, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_imatrix(path):
    """Name of the matrix to the mean square of each column, as llama.cpp's quantizer is given it."""
    tensors = {tensor.name: np.array(tensor.data, dtype=np.float32).reshape(-1)
               for tensor in gguf.GGUFReader(path).tensors}
    return {name.removesuffix(".in_sum2"): sums / tensors[name.replace(".in_sum2", ".counts")][0]
            for name, sums in tensors.items() if name.endswith(".in_sum2")}


def tensors_of(path):
    """Name to (type, raw bytes, shape) of a GGUF file's tensors."""
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def squared_error(tensor, source):
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(-1)
    wanted = gguf.quants.dequantize(source.data, source.tensor_type).reshape(-1)
    return float(np.sum((values.astype(np.float64) - wanted) ** 2))


if __name__ == "__main__":
    sys.exit(_llama_quantize_here(json.loads(sys.argv[1])))
