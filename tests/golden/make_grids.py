#!/usr/bin/env python3
"""Golden bytes of the block grids, from ggml's own Python quantizers (gguf.quants).

Needs: pip install gguf==0.19.0. Writes grids/<grid>.json beside this file: for each case the values,
the codes that quantize() makes of them and what dequantize() makes of the codes. "hand-made codes"
cases hold arbitrary codes (all code values, subnormal and negative scales) and no values.
All fields are little-endian bytes in hex, values as float32.
"""

import json
import pathlib

import numpy as np
from gguf import quants
from gguf.constants import GGMLQuantizationType as Type

BLOCK = 32


def encode_cases(rng):
    ramp = np.arange(BLOCK, dtype=np.float32)
    yield "normal", rng.standard_normal((4, BLOCK)).astype(np.float32)
    yield "zeros", np.zeros((1, BLOCK), np.float32)
    yield "constant", np.full((1, BLOCK), -3.25, np.float32)
    yield "ramp", (ramp - 7.5).reshape(1, BLOCK)
    yield "halfway codes", (ramp * 0.5).reshape(1, BLOCK)
    yield "one outlier", np.where(ramp == 5, np.float32(-1000), ramp / 64).astype(np.float32).reshape(1, BLOCK)
    yield "scale subnormal in f16", (rng.standard_normal((2, BLOCK)) * 1e-5).astype(np.float32)
    yield "scale zero in f16", (rng.standard_normal((1, BLOCK)) * 1e-10).astype(np.float32)
    yield "large", (rng.standard_normal((2, BLOCK)) * 10000).astype(np.float32)


def hand_made(rng, code_bytes, halves):
    scales = np.array([0x0001, 0x8001, 0x03FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF], np.uint16)
    blocks = []
    for i, scale in enumerate(scales):
        fields = [scale] + [scales[(3 * i + 1) % len(scales)]] * (halves - 1)
        codes = rng.integers(0, 256, code_bytes, dtype=np.uint8)
        if halves == 1:  # q8_0: -128 does not occur
            codes[codes == 128] = 127
        blocks.append(np.concatenate([np.array(fields, np.uint16).view(np.uint8), codes]))
    return np.stack(blocks)


def main():
    folder = pathlib.Path(__file__).parent / "grids"
    folder.mkdir(exist_ok=True)
    for name, qtype, code_bytes, halves in (("q4_1", Type.Q4_1, 16, 2), ("q8_0", Type.Q8_0, 32, 1)):
        rng = np.random.default_rng(20240607)
        cases = []
        for title, values in encode_cases(rng):
            codes = quants.quantize(values, qtype)
            decoded = quants.dequantize(codes, qtype)
            cases.append((title, values, codes, decoded))
        codes = hand_made(rng, code_bytes, halves)
        cases.append(("hand-made codes", None, codes, quants.dequantize(codes, qtype)))
        document = {
            "source": "gguf 0.19.0, gguf.quants, by make_grids.py",
            "cases": [
                {
                    "name": title,
                    "values": "" if values is None else values.astype("<f4").tobytes().hex(),
                    "codes": codes.tobytes().hex(),
                    "decoded": decoded.astype("<f4").tobytes().hex(),
                }
                for title, values, codes, decoded in cases
            ],
        }
        (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
