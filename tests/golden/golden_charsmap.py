"""Builds a SentencePiece precompiled_charsmap: u32 trie bytes, a darts-clone double array, replacements."""

import base64
import struct


class _Trie:
    def __init__(self):
        self.children = {}
        self.value = None


def _build(entries):
    root = _Trie()
    for key, value in entries:
        node = root
        for byte in key:
            node = node.children.setdefault(byte, _Trie())
        node.value = value
    return root


def _double_array(root):
    units = {0: 0}

    def place(index, node):
        labels = sorted(node.children)
        if node.value is not None:
            labels = [0] + labels
        base = 1
        # Offsets below 2^21 are kept as they are; all bases here are.
        while any((base ^ label) in units for label in labels) or base == index:
            base += 1
        offset = index ^ base
        assert offset < 1 << 21
        units[index] |= offset << 10 | (1 << 8 if node.value is not None else 0)
        for label in labels:
            units[base ^ label] = (1 << 31 | node.value) if label == 0 else label
        for label in labels:
            if label:
                place(base ^ label, node.children[label])

    place(0, root)
    size = (max(units) | 255) + 1
    return [units.get(i, 0) for i in range(size)]


def charsmap(replacements):
    """replacements: {string: its replacement}. Base64, as in tokenizer.json."""
    blob = b""
    entries = []
    for key, value in sorted(replacements.items()):
        entries.append((key.encode(), len(blob)))
        blob += value.encode() + b"\0"
    units = _double_array(_build(entries))
    data = struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + blob
    return base64.b64encode(data).decode()
