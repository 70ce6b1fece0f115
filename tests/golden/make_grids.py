#!/usr/bin/env python3
"""Golden bytes of the block grids, from ggml's own Python quantizers (gguf.quants).

Needs: pip install gguf==0.19.0. Writes grids/<grid>.txt beside this file, one case after the other:

    case NAME
    values HEX    the values that were encoded; "-" where the codes are hand-made
    codes HEX     what quantize() makes of the values, or arbitrary codes
    decoded HEX   what dequantize() makes of the codes

All fields are little-endian bytes in hex, values as float32. Hand-made codes are random bytes with
scales that are large, subnormal, negative and ordinary. Plain text, so that a test needs no JSON. Also writes two seeds for the
fuzz targets.
"""

import json
import pathlib

import gguf
import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Type

# Bit patterns of float16: 2^-24, -2^-24, the largest subnormal, the smallest normal number, 1, -1, the
# largest number, its opposite, and two ordinary scales.
SCALES = np.array([0x0001, 0x8001, 0x03FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF, 0x2C12, 0xA501], np.uint16)
# Exponents of E8M0: the two subnormal ones of ggml, ordinary ones, the largest that leaves float32 finite.
EXPONENTS = np.array([0, 1, 2, 100, 120, 127, 130, 251], np.uint8)

# Where blocks have their float16 scales; those of gguf's quantizers that can encode.
GRIDS = {
    "q4_0": (Type.Q4_0, [0], True),
    "q4_1": (Type.Q4_1, [0, 2], True),
    "q5_0": (Type.Q5_0, [0], True),
    "q5_1": (Type.Q5_1, [0, 2], True),
    "q8_0": (Type.Q8_0, [0], True),
    "q2_k": (Type.Q2_K, [80, 82], False),
    "q3_k": (Type.Q3_K, [108], False),
    "q4_k": (Type.Q4_K, [0, 2], False),
    "q5_k": (Type.Q5_K, [0, 2], False),
    "q6_k": (Type.Q6_K, [208], False),
    "iq4_nl": (Type.IQ4_NL, [0], False),
    "iq4_xs": (Type.IQ4_XS, [0], False),
    "mxfp4": (Type.MXFP4, [], True),
    "iq1_s": (Type.IQ1_S, [0], False),
    "iq1_m": (Type.IQ1_M, [], False),
    "iq2_xxs": (Type.IQ2_XXS, [0], False),
    "iq2_xs": (Type.IQ2_XS, [0], False),
    "iq2_s": (Type.IQ2_S, [0], False),
    "iq3_xxs": (Type.IQ3_XXS, [0], False),
    "iq3_s": (Type.IQ3_S, [0], False),
    "tq1_0": (Type.TQ1_0, [52], True),
    "tq2_0": (Type.TQ2_0, [64], True),
}


SAFETENSORS_DTYPES = {
    **{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "BOOL": 1},
    **{f"{kind}{bits}": bits // 8 for bits in (8, 16, 32, 64) for kind in "IU"},
}


def encode_cases(rng, n, blocks):
    ramp = np.arange(n, dtype=np.float32)
    yield "normal", rng.standard_normal((blocks, n)).astype(np.float32)
    yield "zeros", np.zeros((1, n), np.float32)
    if n > 32:
        return
    yield "constant", np.full((1, n), -3.25, np.float32)
    yield "ramp", (ramp - 7.5).reshape(1, n)
    yield "halfway codes", (ramp * 0.5).reshape(1, n)
    yield "one outlier", np.where(ramp == 5, np.float32(-1000), ramp / 64).astype(np.float32).reshape(1, n)
    yield "scale subnormal in f16", (rng.standard_normal((2, n)) * 1e-5).astype(np.float32)
    yield "scale zero in f16", (rng.standard_normal((1, n)) * 1e-10).astype(np.float32)
    yield "large", (rng.standard_normal((2, n)) * 10000).astype(np.float32)


def hand_made(rng, name, offsets, n, size):
    blocks = []
    for i in range(len(SCALES) if n <= 32 else 3):
        block = rng.integers(0, 256, size, dtype=np.uint8)
        for k, offset in enumerate(offsets):
            block[offset : offset + 2] = SCALES[[(i * 3 + k + 7) % len(SCALES)]].view(np.uint8)
        if name == "mxfp4":
            block[0] = EXPONENTS[i % len(EXPONENTS)]
        if name == "iq1_m":  # a float16 in the top nibbles of four u16
            for k in range(4):
                nibble = int(SCALES[(i * 3 + 7) % len(SCALES)]) >> 4 * k & 15
                block[49 + 2 * k] = block[49 + 2 * k] & 15 | nibble << 4
        blocks.append(block)
    return np.stack(blocks)


def write_seeds(folder):
    """One tensor of every type, for the fuzz targets to start from: types.gguf and types.safetensors."""
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(folder / "types.gguf", "llama")
    for qtype in Type:
        if qtype in (Type.Q8_1, Type.NVFP4):  # which phial refuses
            continue
        n, size = GGML_QUANT_SIZES[qtype]
        writer.add_tensor(qtype.name, rng.integers(0, 256, (2, size), dtype=np.uint8), raw_dtype=qtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header, at = {}, 0
    for dtype, size in SAFETENSORS_DTYPES.items():
        header[dtype] = {"dtype": dtype, "shape": [2, 3], "data_offsets": [at, at + 6 * size]}
        at += 6 * size
    text = json.dumps(header, separators=(",", ":")).encode()
    data = rng.integers(0, 256, at, dtype=np.uint8).tobytes()
    (folder / "types.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)


def main():
    write_seeds(pathlib.Path(__file__).parents[2] / "fuzz/seeds")
    folder = pathlib.Path(__file__).parent / "grids"
    folder.mkdir(exist_ok=True)
    for name, (qtype, offsets, encodes) in GRIDS.items():
        n, size = GGML_QUANT_SIZES[qtype]
        rng = np.random.default_rng(20240607)
        cases = []
        if encodes:
            for title, values in encode_cases(rng, n, 4 if n <= 32 else 1):
                cases.append((title, values, quants.quantize(values, qtype)))
        cases.append(("hand-made codes", None, hand_made(rng, name, offsets, n, size)))
        lines = ["# gguf 0.19.0, gguf.quants, by make_grids.py"]
        for title, values, codes in cases:
            decoded = quants.dequantize(codes, qtype)
            lines += [
                f"case {title}",
                "values " + ("-" if values is None else values.astype("<f4").tobytes().hex()),
                "codes " + codes.tobytes().hex(),
                "decoded " + decoded.astype("<f4").tobytes().hex(),
            ]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
