// ModelSpec: what a decoder-only transformer computes, as plain data. Families fill it from a
// config, recognizers from a graph; the Plan is made from it and nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace phial {

enum class BlockOrder : uint8_t {
  serial,    // x += attention(norm1(x)); x += mlp(norm2(x))
  parallel,  // u = norm1(x); x += attention(u) + mlp(u)
};

enum class NormKind : uint8_t {
  rms,    // x / sqrt(mean(x^2) + eps) * w
  layer,  // (x - mean) / sqrt(var + eps) * w + b
};

enum class MlpKind : uint8_t {
  silu_gated,  // down(silu(gate(u)) * up(u))
  gelu_tanh,   // down(gelu_tanh(up(u)))
};

// Rotary position embedding, halves layout: dimensions i and i + rotary/2 of a head turn together.
struct RopeSpec {
  int64_t rotary = 0;           // dimensions that turn; the rest of the head passes through
  std::vector<float> inv_freq;  // [rotary / 2]; the angle at position p is p * inv_freq[i] in fp32
};

struct AttentionSpec {
  int64_t heads = 0;
  int64_t kv_heads = 0;  // divides heads; query head h reads key/value head h / (heads / kv_heads)
  int64_t head_dim = 0;
  float scale = 0;     // of q.k before softmax
  int64_t window = 0;  // a query sees itself and the window - 1 positions before it; 0: all
};

// Which linear layers add a bias.
struct BiasSpec {
  bool qkv = false;
  bool attention_out = false;
  bool mlp = false;
  bool lm_head = false;
};

struct ModelSpec {
  std::string family;        // "llama"
  std::string architecture;  // as Hugging Face names it: "LlamaForCausalLM"
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t intermediate = 0;  // width inside the mlp
  int64_t vocabulary = 0;    // rows of the embedding and of the logits, padding rows included
  int64_t context = 0;       // longest sequence the model was made for

  BlockOrder block_order = BlockOrder::serial;
  NormKind norm = NormKind::rms;
  float norm_eps = 1e-5f;
  MlpKind mlp = MlpKind::silu_gated;
  AttentionSpec attention;
  RopeSpec rope;
  BiasSpec bias;
  bool tied_embeddings = false;  // the embedding is the lm_head
};

}  // namespace phial
