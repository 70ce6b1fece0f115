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

// Where a block norms: what attention and mlp read, or also what they add to the residual stream.
enum class NormPlace : uint8_t { before, before_and_after };

enum class MlpKind : uint8_t {
  silu_gated,       // down(silu(gate(u)) * up(u))
  gelu_tanh_gated,  // down(gelu_tanh(gate(u)) * up(u))
  gelu_tanh,        // down(gelu_tanh(up(u)))
};
inline bool is_gated(MlpKind mlp) { return mlp != MlpKind::gelu_tanh; }

// Which frequencies hold for the positions of a sequence, by the length it has (see rope.h):
enum class RopeLength : uint8_t {
  any,       // inv_freq at every length
  longrope,  // all of the sequence: inv_freq up to `limit` positions, long_inv_freq beyond
  dynamic,   // rows of a forward that ends beyond `limit`: dynamic_inv_freq(length at its end)
};

// What the frequencies were made from, for formats that state that and not the frequencies. Names
// and meanings are those of rope_scaling in transformers.
struct RopeRecipe {
  std::string type;              // "default", "linear", "llama3" ...
  double theta = 0;              // base of the plain frequencies
  double factor = 1;             // linear, yarn
  int64_t original_context = 0;  // positions that the model knew before it was stretched
  double beta_fast = 32, beta_slow = 1;
  bool truncate = true;  // yarn: bounds of the ramp are whole numbers
  std::vector<float> short_factors = {}, long_factors = {};  // [rotary / 2]; longrope
};

// Rotary position embedding, halves layout: dimensions i and i + rotary/2 of a head turn together.
struct RopeSpec {
  int64_t rotary = 0;           // dimensions that turn; the rest of the head passes through
  std::vector<float> inv_freq;  // [rotary / 2]; the angle at position p is p * inv_freq[i] in fp32
  float mscale = 1;             // factor of every cosine and sine
  RopeLength by_length = RopeLength::any;
  int64_t limit = 0;                 // longest sequence that takes inv_freq; 0 with `any`
  std::vector<float> long_inv_freq;  // [rotary / 2]; longrope only
  float theta = 0, factor = 0;       // dynamic only
  RopeRecipe recipe;
};

struct AttentionSpec {
  int64_t heads = 0;
  int64_t kv_heads = 0;  // divides heads; query head h reads key/value head h / (heads / kv_heads)
  int64_t head_dim = 0;
  float scale = 0;       // of q.k before softmax
  float softcap = 0;     // scores become softcap * tanh(score / softcap) before the mask; 0: none
  bool qk_norm = false;  // RMSNorm of each head of q and k, before they turn
};

// What differs between the layers of one model.
struct LayerKind {
  int64_t window = 0;   // a query sees itself and the window - 1 positions before it; 0: all
  bool rotates = true;  // whether q and k turn with their position
};

// Factors along the residual stream; 1 where a model has none.
struct Scales {
  float embedding = 1;  // of a token's row (rows given as embeddings enter as they are)
  float residual = 1;   // of what attention and mlp add
  float logits = 1;
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
  NormPlace norm_place = NormPlace::before;
  float norm_eps = 1e-5f;
  MlpKind mlp = MlpKind::silu_gated;
  AttentionSpec attention;
  std::vector<LayerKind> layer_kinds;  // [layers]
  RopeSpec rope;
  BiasSpec bias;
  Scales scales;
  float logits_softcap = 0;      // logits become softcap * tanh(logit / softcap); 0: none
  bool tied_embeddings = false;  // the embedding is the lm_head
};

}  // namespace phial
