// Any bytes as a GGUF file: metadata, tensors, configuration, tokenizer, template and defaults.
#include "formats/gguf.h"

#include "eval/reports.h"
#include "model/model.h"
#include "support/checks.h"
#include "support/mutate.h"
#include "support/text.h"

namespace {

using namespace phial;

constexpr const char* kWords[] = {
    "GGUF",
    "general.architecture",
    "general.alignment",
    "general.name",
    "llama",
    "phi3",
    "gpt2",
    "llama.context_length",
    "llama.embedding_length",
    "llama.block_count",
    "llama.feed_forward_length",
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
    "llama.attention.key_length",
    "llama.attention.layer_norm_rms_epsilon",
    "llama.rope.dimension_count",
    "llama.rope.freq_base",
    "llama.rope.scaling.type",
    "split.count",
    "split.no",
    "split.tensors.count",
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.unknown_token_id",
    "tokenizer.ggml.padding_token_id",
    "tokenizer.ggml.add_bos_token",
    "tokenizer.chat_template",
    "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}",
    "<0x-1>",
    "<0x100>",
    "token_embd.weight",
    "output.weight",
    "output_norm.weight",
    "blk.0.attn_q.weight",
    "blk.-1.attn_q.weight",
    "blk.2147483648.attn_q.weight"};

void check_contents(const GgufContents& contents) {
  fuzz::touch(contents.tensors);
  volatile uint64_t sum = 0;
  for (const auto& [key, value] : contents.metadata.entries()) {
    fuzz::require(contents.metadata.find(key) != nullptr);
    if (const auto* strings = std::get_if<GgufMetadata::Strings>(&value.data)) {
      for (const std::string_view text : *strings) {
        if (!text.empty()) sum = sum + static_cast<uint8_t>(text.back());
      }
    }
  }
}

// All that is made from a checkpoint without its weights.
void use(const Checkpoint& checkpoint) {
  (void)model_info(checkpoint, true);
  if (const auto spec = model_spec_of(checkpoint); !spec.ok()) fuzz::check_error(spec.error());
  const auto tokenizer = open_tokenizer(checkpoint);
  tokenizer.ok() ? fuzz::run_tokenizer(*tokenizer) : fuzz::check_error(tokenizer.error());
  const Tokenizer* known = tokenizer.ok() ? tokenizer->get() : nullptr;
  const auto defaults = generation_defaults(checkpoint, known);
  if (!defaults.ok()) fuzz::check_error(defaults.error());
  const auto templates = chat_templates(checkpoint);
  if (!templates.ok()) return fuzz::check_error(templates.error());
  for (const NamedTemplate& named : *templates) {
    const auto compiled = ChatTemplate::parse(named.source, "template");
    if (!compiled.ok()) {
      fuzz::check_error(compiled.error());
      continue;
    }
    const auto prompt = (*compiled)->render(template_variables(checkpoint, known), 0);
    if (!prompt.ok()) fuzz::check_error(prompt.error());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const bool metadata_only : {false, true}) {
    const auto contents = parse_gguf({data, size}, "fuzz.gguf", metadata_only);
    contents.ok() ? check_contents(*contents) : fuzz::check_error(contents.error());
  }
  MemoryFiles files;
  files.put("fuzz.gguf", std::string(reinterpret_cast<const char*>(data), size));
  const auto checkpoint = read_checkpoint(files, "fuzz.gguf", {.text_only = true});
  if (checkpoint.ok()) use(*checkpoint);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fuzz::mutate_in_place(data, size, max_size, seed,
                               [](const std::string& input, fuzz::Choice& choice) {
                                 return fuzz::mutate_gguf(input, kWords, choice);
                               });
}
