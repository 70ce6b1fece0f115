"""ONNX Runtime GenAI. usage: peer_onnxruntime.py FOLDER THREADS"""
import json
import os
import sys

import numpy
import onnxruntime_genai as og

import peer


class OnnxRuntime:
    def __init__(self, folder, threads):
        self.folder, self.threads = folder, threads

    def load(self):
        path = os.path.join(self.folder, "genai_config.json")
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        options = config["model"]["decoder"]["session_options"]
        if options.get("intra_op_num_threads") != self.threads:
            options["intra_op_num_threads"] = self.threads
            with open(path, "w", encoding="utf-8") as file:
                json.dump(config, file, indent=1)
        self.model = og.Model(self.folder)
        params = og.GeneratorParams(self.model)
        params.set_search_options(max_length=4608, min_length=4608, do_sample=False)
        self.generator = og.Generator(self.model, params)

    def read(self, ids):
        self.generator.append_tokens(numpy.array(ids, numpy.int32))

    def rewind(self, length):
        self.generator.rewind_to(length)


if __name__ == "__main__":
    peer.serve(peer.Loop(OnnxRuntime(sys.argv[1], int(sys.argv[2]))))
