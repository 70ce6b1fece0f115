// Test help: requests on the golden checkpoints.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/golden_models.h"
#include "generate/generate.h"

namespace phial {

// A golden checkpoint that answers requests.
class GoldenModel {
 public:
  explicit GoldenModel(const std::string& name, const std::string& isa = "", int threads = 2)
      : golden(load_golden(name)),
        model(load_model(name)),
        decoder(
            must(make_native_decoder(must(Runtime::create(threads, isa, disk_files())), model))),
        tokenizer(must(open_tokenizer(*model->checkpoint))) {}

  std::unique_ptr<Sequence> prompt(size_t tokens = 64, int64_t context = 0) const {
    auto sequence = must(Sequence::create(decoder, context));
    must(sequence->append(std::span(golden.prompt_ids).first(tokens)));
    return sequence;
  }

  GenerateRequest request(Sequence& sequence, const GenerateOptions& options, Rng& rng) const {
    GenerateRequest request;
    request.sequence = &sequence;
    request.options = options;
    request.rng = &rng;
    request.seed = 1;
    request.tokenizer = tokenizer;
    return request;
  }

  // Answers from a fresh sequence with the seed 1.
  GenerateResult answer(const GenerateOptions& options, size_t prompt_tokens = 64) const {
    const auto sequence = prompt(prompt_tokens);
    Rng rng(1);
    return must(generate(request(*sequence, options, rng)));
  }

  Golden golden;
  std::shared_ptr<const Model> model;
  std::shared_ptr<Decoder> decoder;
  std::shared_ptr<const Tokenizer> tokenizer;
};

}  // namespace phial
