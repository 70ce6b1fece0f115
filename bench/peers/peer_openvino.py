"""OpenVINO GenAI. Its pipeline cannot be driven token by token: it is given the whole prompt each time,
and its own clock says when each token came. usage: peer_openvino.py FOLDER THREADS"""
import sys

import numpy
import openvino
import openvino_genai

import peer


class OpenVino(peer.Loop):
    def __init__(self, folder, threads):
        super().__init__(None)
        self.folder, self.threads = folder, threads

    def load(self):
        def ready():
            scheduler = openvino_genai.SchedulerConfig()
            scheduler.enable_prefix_caching = False  # the prompt is to be read, not remembered
            scheduler.max_num_batched_tokens = 512
            scheduler.cache_size = 1
            self.pipeline = openvino_genai.LLMPipeline(
                self.folder, "CPU", scheduler_config=scheduler, INFERENCE_NUM_THREADS=self.threads)
            self.token_times(1, 1)
        return peer.timed(ready)

    def token_times(self, prompt, tokens):
        """Seconds from the beginning to each of `tokens` tokens behind the first `prompt` ids."""
        ids = openvino.Tensor(numpy.array([self.ids[:prompt]], numpy.int64))
        mask = openvino.Tensor(numpy.ones((1, prompt), numpy.int64))
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = tokens
        config.ignore_eos = True
        config.do_sample = False
        told = self.pipeline.generate(openvino_genai.TokenizedInputs(ids, mask), config)
        raw = told.perf_metrics.raw_metrics
        first = told.perf_metrics.get_ttft().mean / 1000
        times = [first]
        for milliseconds in list(raw.m_durations)[1:] if len(raw.m_durations) >= tokens else raw.m_durations:
            times.append(times[-1] + milliseconds / 1e6)
        return times

    def prefill(self, tokens):
        return self.token_times(tokens, 1)[0]

    def decode(self, depth, tokens):
        times = self.token_times(max(depth, 1), tokens + 2)
        return times[-1] - times[1]


if __name__ == "__main__":
    peer.serve(OpenVino(sys.argv[1], int(sys.argv[2])))
