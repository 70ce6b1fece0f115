"""The shared library shows exactly the functions that phial.h declares.

usage: exports_test.py phial.h libphial.so
"""
import re
import subprocess
import sys


def main() -> int:
    header, library = sys.argv[1:3]
    with open(header, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    declared = set(re.findall(r"PHIAL_API[^;(]*?\b(phial_\w+)\s*\(", text))
    listing = subprocess.run(["nm", "-D", "--defined-only", library],
                             check=True, capture_output=True, text=True).stdout
    exported = {line.split()[-1].split("@")[0] for line in listing.splitlines()}
    missing = sorted(declared - exported)
    surplus = sorted(exported - declared)
    for name in missing:
        print(f"declared, not exported: {name}")
    for name in surplus[:20]:
        print(f"exported, not declared: {name}")
    print(f"exports_test: {len(declared)} declared, {len(missing)} missing, {len(surplus)} surplus")
    return 1 if missing or surplus or not declared else 0


if __name__ == "__main__":
    sys.exit(main())
