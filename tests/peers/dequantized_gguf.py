"""Writes a GGUF file again with every tensor as F32 and the metadata as they were.

    dequantized_gguf.py IN.gguf OUT.gguf
"""

import os
import sys
from pathlib import Path

import gguf
import numpy as np

# The writer makes these itself.
_WRITTEN_BY_GGUF = ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture",
                    "general.file_type")


def write_dequantized(source, target):
    """Values are those of gguf-py's reference decoding; shapes and row order are kept."""
    reader = gguf.GGUFReader(source)
    part = Path(f"{target}.part")
    writer = gguf.GGUFWriter(part, reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if key not in _WRITTEN_BY_GGUF:
            element_type = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type=element_type)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for tensor in reader.tensors:
        shape = tuple(int(n) for n in reversed(tensor.shape))
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        writer.add_tensor(tensor.name, np.ascontiguousarray(values, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(part, target)


if __name__ == "__main__":
    write_dequantized(sys.argv[1], sys.argv[2])
