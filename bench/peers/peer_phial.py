"""phial through its C interface. usage: peer_phial.py libphial.so MODEL.gguf THREADS COMPUTE KV"""
import ctypes
import sys

import peer
import shape

POINTER = ctypes.c_void_p


class ContextOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("threads", ctypes.c_int32), ("isa", ctypes.c_char_p),
                ("max_memory", ctypes.c_uint64)]


class ModelOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("load", ctypes.c_int), ("compute", ctypes.c_char_p),
                ("kv", ctypes.c_char_p)]


class SequenceOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("context", ctypes.c_int64)]


class Phial:
    def __init__(self, library, path, threads, compute, kv):
        self.library = ctypes.CDLL(library)
        self.library.phial_error_text.restype = ctypes.c_char_p
        self.path, self.threads, self.compute, self.kv = path, threads, compute, kv
        self.sequence = POINTER()

    def call(self, name, *arguments):
        function = getattr(self.library, "phial_" + name)
        function.restype = POINTER
        error = function(*arguments)
        if error:
            raise RuntimeError(self.library.phial_error_text(POINTER(error)).decode())

    def load(self):
        context, model = POINTER(), POINTER()
        options = ContextOptions(ctypes.sizeof(ContextOptions), self.threads, None, 0)
        self.call("context_create", ctypes.byref(options), ctypes.byref(context))
        options = ModelOptions(ctypes.sizeof(ModelOptions), 0, self.compute.encode(), self.kv.encode())
        self.call("model_load", context, self.path.encode(), ctypes.byref(options), ctypes.byref(model))
        options = SequenceOptions(ctypes.sizeof(SequenceOptions), shape.CONTEXT)
        self.call("sequence_create", model, ctypes.byref(options), ctypes.byref(self.sequence))

    def read(self, ids):
        array = (ctypes.c_int32 * len(ids))(*ids)
        self.call("sequence_append", self.sequence, array, ctypes.c_size_t(len(ids)))
        self.call("sequence_compute_logits", self.sequence, 0)

    def rewind(self, length):
        self.call("sequence_rewind", self.sequence, ctypes.c_int64(length))


if __name__ == "__main__":
    peer.serve(peer.Loop(Phial(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])))
