#!/usr/bin/env python3
"""Fails where a hot loop of the packed or bfloat16 kernels or of attention keeps vector registers
on the stack.

    tests/spills_test.py [--processor NAME] [--objdump PROGRAM] OBJECT...

A compiler that runs out of registers halves the speed of such a loop and tells nobody: gcc 12 does
so when a loop over accumulators is not unrolled, even the one that clears them. A hot loop is an
innermost loop with at least four multiplications of bytes, or of float32 in the units that have no
others; a spill is a store of a full vector
register to the stack. Needs objdump; prints a line per loop that spills.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

MULTIPLIES = re.compile(r"vpdpbusd|vpmaddubsw|vdpbf16ps|smlal|sdot|usdot|usmmla")
FLOAT_MULTIPLIES = re.compile(r"vfmadd\d+ps|fmla")
# The widest registers of a unit hold its accumulators; narrower ones may hold anything.
# With them: how many hot loops there are at least; fewer would mean that this test no longer sees
# them. And, if any, how many stores of a loop are let pass: gcc 12 makes one in a few loops of many
# rows.
UNITS = {
    "x86_64": {
        "packed_avx512vnni": ("zmm", 20),
        "packed_avx2": ("ymm", 20),
        "packed_avxvnni": ("ymm", 20),
        "packed_floats_avx512vnni": ("zmm", 60),
        "packed_floats_avx2": ("ymm", 60),
        "bf16_avx512bf16": ("zmm", 20),
        "attention_avx512vnni": ("zmm", 4),
    },
    "aarch64": {
        "packed_neon": ("q", 20),
        "packed_neon_dotprod": ("q", 20, 1),
        "packed_neon_i8mm": ("q", 20, 1),
        "packed_floats_neon": ("q", 60, 1),
        "attention_neon_dotprod": ("q", 4),
        "attention_neon_i8mm": ("q", 4),
    },
}
FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(?:\{vex\} )?(\S+)\s*(.*)$")
JUMP = re.compile(r"j|b$|b\.|cbn?z|tbn?z")
TARGET = re.compile(r"\b([0-9a-f]+) <")
FEWEST = 4


def functions(objdump, path):
    """(name, [(address, mnemonic, operands)]) of each function of an object file."""
    text = subprocess.run([objdump, "-d", "-C", "--no-show-raw-insn", path], check=True,
                          capture_output=True, text=True).stdout
    name, body = "", []
    for line in text.splitlines():
        if match := FUNCTION.match(line):
            if body:
                yield name, body
            name, body = match.group(1), []
        elif match := INSTRUCTION.match(line):
            body.append((int(match.group(1), 16), match.group(2), match.group(3)))
    if body:
        yield name, body


def innermost_loops(body):
    """[first, last] addresses of loops that hold no other one: jumps back, and what they span."""
    loops = []
    for address, mnemonic, operands in body:
        match = TARGET.search(operands) if JUMP.match(mnemonic) else None
        if match and body[0][0] <= int(match.group(1), 16) <= address:
            loops.append((int(match.group(1), 16), address))
    return [a for a in loops
            if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]


def check(objdump, path, register, multiplies, most):
    """The number of hot loops, and a line for each one that spills."""
    if register == "q":
        spill = re.compile(r"^st[pu]?r? q\d+, (q\d+, )?\[(sp|x29)")
    else:
        spill = re.compile(rf"^vmov\w* %{register}\d+,-?(0x[0-9a-f]+)?\((%rsp|%rbp)")
    hot, faults = 0, []
    for name, body in functions(objdump, path):
        for first, last in innermost_loops(body):
            loop = [line for line in body if first <= line[0] <= last]
            if sum(bool(multiplies.match(mnemonic)) for _, mnemonic, _ in loop) < FEWEST:
                continue
            hot += 1
            count = sum(bool(spill.match(f"{mnemonic} {operands}"))
                        for _, mnemonic, operands in loop)
            if count > most:
                faults.append(f"{Path(path).name}: {count} spills in the loop at {first:x} of {name}")
    return hot, faults


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--processor", choices=UNITS, default="x86_64")
    parser.add_argument("--objdump", default="objdump")
    parser.add_argument("objects", nargs="+")
    args = parser.parse_args()
    known = UNITS[args.processor]
    units = {unit: path for path in args.objects for unit in known if f"/{unit}.cc" in path}
    if not units:
        print("spills: no packed kernels among the objects", file=sys.stderr)
        return 2
    failed = False
    for unit, path in sorted(units.items()):
        register, fewest, *most = known[unit]
        hot, faults = check(args.objdump, path, register,
                            FLOAT_MULTIPLIES if "floats" in unit else MULTIPLIES, sum(most))
        print(f"{unit}: {hot} hot loops, {len(faults)} of them spill")
        for fault in faults:
            print(fault)
        failed = failed or bool(faults) or hot < fewest
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
