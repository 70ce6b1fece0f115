#include "text/gguf_pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>

namespace phial {
namespace {

enum Flags : uint8_t { kPlain = 0, kWholeWords = 1, kBos = 2, kMarksSpaces = 4 };

constexpr size_t kMostCuts = 6;

struct Known {
  std::string_view name;
  uint8_t flags;
  // One after the other, up to the first `none`; each works on what the ones before left.
  std::array<Splitter, kMostCuts> cuts;
};

using enum Splitter;

// The names that llama.cpp's llama-vocab.cpp knows and phial has a splitter for. Where its regular
// expression stands in for the one of the model's tokenizer.json, the splitter is that of the
// model.
constexpr Known kKnown[] = {
    {"default", kPlain, {llamacpp_default}},
    {"gpt-2", kPlain, {gpt2}},
    {"phi-2", kPlain, {gpt2}},
    {"mpt", kPlain, {gpt2}},
    {"olmo", kPlain, {gpt2}},
    {"jais", kPlain, {gpt2}},
    {"trillion", kPlain, {gpt2}},
    {"granite-docling", kPlain, {gpt2}},
    {"gigachat", kPlain, {gpt2}},
    {"jina-es", kPlain, {gpt2}},
    {"jina-de", kPlain, {gpt2}},
    {"jina-v2-es", kPlain, {gpt2}},
    {"jina-v2-de", kPlain, {gpt2}},
    {"a.x-4.0", kPlain, {gpt2}},
    {"mellum", kPlain, {gpt2}},
    {"modern-bert", kPlain, {gpt2}},
    {"exaone4", kPlain, {gpt2}},
    {"smollm", kPlain, {smollm}},
    {"starcoder", kPlain, {smollm}},
    {"refact", kPlain, {smollm}},
    {"command-r", kPlain, {smollm}},
    {"codeshell", kPlain, {smollm}},
    {"exaone", kPlain, {smollm}},
    {"minerva-7b", kPlain, {smollm}},
    {"mellum2", kPlain, {smollm}},
    {"llama-bpe", kWholeWords | kBos, {llama3}},
    {"llama3", kWholeWords | kBos, {llama3}},
    {"llama-v3", kWholeWords | kBos, {llama3}},
    {"falcon3", kWholeWords | kBos, {llama3}},
    {"falcon-h1", kWholeWords | kBos, {llama3}},
    {"pixtral", kWholeWords | kBos, {llama3}},
    {"midm-2.0", kWholeWords | kBos, {llama3}},
    {"lfm2", kWholeWords | kBos, {llama3}},
    {"jina-v5-nano", kWholeWords | kBos, {llama3}},
    {"dbrx", kPlain, {llama3}},
    {"smaug-bpe", kPlain, {llama3}},
    {"glm4", kPlain, {llama3}},
    {"chatglm-bpe", kPlain, {llama3}},
    {"minicpm5", kWholeWords, {numbers_3, minicpm5}},
    {"qwen2", kPlain, {qwen2}},
    {"deepseek-r1-qwen", kPlain, {qwen2}},
    {"kormo", kPlain, {qwen2}},
    {"f2llmv2", kPlain, {qwen2}},
    {"megrez", kPlain, {qwen2}},
    {"stablelm2", kPlain, {qwen2}},
    {"hunyuan", kPlain, {qwen2}},
    {"solar-open", kPlain, {qwen2}},
    {"grok-2", kPlain, {qwen2}},
    {"laguna", kPlain, {lines, qwen2}},
    {"qwen35", kPlain, {qwen35}},
    {"ufakzeka", kPlain, {ufakzeka}},
    {"bailingmoe", kPlain, {bailing}},
    {"bailingmoe2", kPlain, {bailing}},
    {"llada-moe", kPlain, {bailing}},
    {"seed-coder", kPlain, {seed_coder}},
    {"exaone-moe", kPlain, {exaone_moe}},
    {"gpt-4o", kPlain, {o200k}},
    {"llama4", kPlain, {o200k}},
    {"kanana2", kPlain, {o200k}},
    {"talkie", kPlain, {o200k}},
    {"minimax-m2", kPlain, {o200k}},
    {"granite-embed-multi-97m", kWholeWords, {o200k}},
    {"tekken", kWholeWords | kBos, {tekken}},
    {"kimi-k2", kPlain, {kimi_k2}},
    {"deepseek-llm",
     kPlain,
     {line_break, deepseek_latin, deepseek_signs, trailing_white, deepseek_cjk, numbers}},
    {"deepseek-coder", kPlain, {line_break, letters, punctuation, deepseek_cjk, number}},
    {"deepseek-v3", kPlain, {numbers_3, deepseek3_cjk, deepseek3}},
    {"hunyuan-dense", kPlain, {numbers_3, deepseek3_cjk, deepseek3}},
    {"hy_v4", kPlain, {numbers_3, deepseek3_cjk, deepseek3}},
    {"joyai-llm", kPlain, {numbers_3, deepseek3_cjk, deepseek3}},
    {"falcon", kPlain, {falcon_signs, gpt2, digits_3}},
    {"bloom", kPlain, {bloom}},
    {"poro-chat", kPlain, {bloom}},
    {"gpt3-finnish", kPlain, {bloom}},
    {"viking", kPlain, {bloom, number}},
    // llama.cpp cuts at line breaks, which no merge crosses.
    {"gemma4", kMarksSpaces, {none}},
    {"granite-embed-multi-311m", kMarksSpaces, {none}},
    {"sarvam-moe", kMarksSpaces, {none}},
};

std::span<const Splitter> cuts_of(const Known& known) {
  return std::span(known.cuts.begin(), std::ranges::find(known.cuts, none));
}

}  // namespace

Result<GgufPreTokenizer> gguf_pre_tokenizer(std::string_view pre, std::string_view where) {
  if (pre.empty()) pre = "default";
  const auto known =
      std::ranges::find_if(kKnown, [pre](const Known& each) { return each.name == pre; });
  if (known == std::end(kKnown)) {
    return unsupported(where, "the pre-tokenizer \"" + std::string(pre) + "\" is not supported");
  }
  GgufPreTokenizer out;
  out.ignore_merges = (known->flags & kWholeWords) != 0;
  out.add_bos = (known->flags & kBos) != 0;
  out.marks_spaces = (known->flags & kMarksSpaces) != 0;
  if (out.marks_spaces) return out;
  for (const Splitter cut : cuts_of(*known)) out.steps.push_back(pre_tokenizer::Words{cut});
  out.steps.push_back(pre_tokenizer::ByteLevel{.add_prefix_space = false, .use_regex = false});
  return out;
}

std::optional<std::string_view> gguf_pre_tokenizer_name(std::span<const Splitter> cuts,
                                                        bool ignore_merges) {
  for (const Known& known : kKnown) {
    const bool whole_words = (known.flags & kWholeWords) != 0;
    if ((known.flags & kMarksSpaces) == 0 && whole_words == ignore_merges &&
        std::ranges::equal(cuts_of(known), cuts)) {
      return known.name;
    }
  }
  return std::nullopt;
}

}  // namespace phial
