"""llama.cpp through llama-cpp-python. usage: peer_llama_cpp.py MODEL.gguf THREADS FLASH_ATTENTION(0|1)"""
import sys

import llama_cpp

import peer


class LlamaCpp:
    def __init__(self, path, threads, flash_attention):
        self.path, self.threads, self.flash_attention = path, threads, flash_attention

    def load(self):
        self.llama = llama_cpp.Llama(self.path, n_ctx=4608, n_batch=512, n_ubatch=512,
                                     n_threads=self.threads, n_threads_batch=self.threads,
                                     flash_attn=self.flash_attention, verbose=False)

    def read(self, ids):
        self.llama.eval(ids)

    def rewind(self, length):
        self.llama.n_tokens = length  # eval() forgets what is behind it


if __name__ == "__main__":
    peer.serve(peer.Loop(LlamaCpp(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "1")))
