// Tensors of a model under GGUF's names and in its layouts.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/config_reader.h"
#include "model/family.h"
#include "model/gguf_target_parts.h"
#include "model/rope.h"

namespace phial {
namespace {

class TensorList {
 public:
  TensorList(const Model& model, const GgufArchitecture& architecture)
      : model_(model), spec_(model.spec), architecture_(architecture) {
    const auto known = std::ranges::find(families(), spec_.family, &Family::name);
    interleaves_ = known != families().end() && (*known)->gguf_interleaves_heads;
  }

  std::vector<TargetTensor> list() {
    const Weights& weights = model_.weights;
    matrix(Role::token_embedding, -1, {{weights.embedding}});
    add_rope_factors();
    for (int64_t i = 0; i < spec_.layers; ++i) add_layer(i, weights.layers[static_cast<size_t>(i)]);
    norm(Role::final_norm, -1, weights.final_norm);
    if (!spec_.tied_embeddings) linear(Role::lm_head, -1, {{&weights.lm_head}});
    return std::move(out_);
  }

 private:
  bool from_gguf() const { return model_.checkpoint->format == Checkpoint::Format::gguf; }

  // Whether `role` is written as one matrix: as the source has it, or as converters make it.
  bool fused(Role role, int64_t layer) const {
    if (!from_gguf()) return architecture_.fuses;
    return find_role(*model_.checkpoint, role, layer, ".weight") != nullptr;
  }

  TargetTensor& add(Role role, int64_t layer, std::string_view ending) {
    TargetTensor& tensor = out_.emplace_back();
    tensor.name = gguf_role_name(role, layer, ending);
    tensor.role = role;
    tensor.layer = layer;
    return tensor;
  }

  void matrix(Role role, int64_t layer, std::vector<TargetRows> pieces) {
    TargetTensor& tensor = add(role, layer, ".weight");
    int64_t rows = 0;
    for (const TargetRows& piece : pieces) rows += piece.view.rows;
    tensor.shape = {rows, pieces.at(0).view.columns};
    tensor.pieces = std::move(pieces);
  }

  void numbers(Role role, int64_t layer, std::string_view ending, std::vector<float> values) {
    TargetTensor& tensor = add(role, layer, ending);
    tensor.shape = {std::ssize(values)};
    tensor.values = std::move(values);
  }

  void norm(Role role, int64_t layer, const NormWeights& values) {
    if (values.weight.empty()) return;
    numbers(role, layer, ".weight", values.weight);
    if (!values.bias.empty()) numbers(role, layer, ".bias", values.bias);
  }

  struct Part {
    const Linear* linear;
    bool interleaved = false;
  };

  void linear(Role role, int64_t layer, const std::vector<Part>& parts) {
    std::vector<TargetRows> pieces;
    std::vector<float> bias;
    for (const Part& part : parts) {
      TargetRows& rows = pieces.emplace_back();
      rows.view = part.linear->weight;
      rows.head_rows = spec_.attention.head_dim;
      if (part.interleaved) rows.order = RowOrder::interleaved_heads;
      for (int64_t r = 0; r < std::ssize(part.linear->bias); ++r) {
        bias.push_back(part.linear->bias[static_cast<size_t>(rows.source_row(r))]);
      }
    }
    matrix(role, layer, std::move(pieces));
    if (!bias.empty()) numbers(role, layer, ".bias", std::move(bias));
  }

  void add_layer(int64_t i, const LayerWeights& layer) {
    norm(Role::attention_norm, i, layer.attention_norm);
    const Part q{&layer.q, interleaves_};
    const Part k{&layer.k, interleaves_};
    if (fused(Role::qkv, i)) {
      linear(Role::qkv, i, {q, k, {&layer.v}});
    } else {
      linear(Role::q, i, {q});
      linear(Role::k, i, {k});
      linear(Role::v, i, {{&layer.v}});
    }
    norm(Role::q_norm, i, layer.q_norm);
    norm(Role::k_norm, i, layer.k_norm);
    linear(Role::attention_out, i, {{&layer.attention_out}});
    norm(Role::attention_post_norm, i, layer.attention_post_norm);
    norm(Role::mlp_norm, i, layer.mlp_norm);
    const bool gated = is_gated(spec_.mlp);
    // Both have one name in GGUF, so that only the gate tells them apart.
    if (gated && fused(Role::gate_up, i) && (!from_gguf() || !fused(Role::gate, i))) {
      linear(Role::gate_up, i, {{&layer.gate}, {&layer.up}});
    } else {
      if (gated) linear(Role::gate, i, {{&layer.gate}});
      linear(Role::up, i, {{&layer.up}});
    }
    linear(Role::down, i, {{&layer.down}});
    norm(Role::mlp_post_norm, i, layer.mlp_post_norm);
  }

  void factors(std::string name, std::vector<float> values) {
    TargetTensor& tensor = out_.emplace_back();
    tensor.name = std::move(name);
    tensor.is_rope = true;
    tensor.shape = {std::ssize(values)};
    tensor.values = std::move(values);
  }

  void add_rope_factors() {
    const RopeSpec& rope = spec_.rope;
    if (from_gguf()) {
      for (const NamedTensor& tensor : model_.checkpoint->tensors) {
        if (!is_config_tensor(tensor.name)) continue;
        std::vector<float> values(static_cast<size_t>(tensor.view.elements()));
        decode_row(tensor.view.grid, tensor.view.bytes.data(), std::ssize(values), values.data());
        factors(tensor.name, std::move(values));
      }
    } else if (rope.recipe.type == "longrope") {
      factors("rope_factors_long.weight", rope.recipe.long_factors);
      factors("rope_factors_short.weight", rope.recipe.short_factors);
    } else if (rope.recipe.type == "llama3") {
      factors("rope_freqs.weight", frequency_divisors(rope));
    }
  }

  // What the plain frequencies are divided by. Of the neighbours of the quotient the one is taken
  // that gives the frequency back, where one does.
  static std::vector<float> frequency_divisors(const RopeSpec& rope) {
    const std::vector<float> plain = plain_inv_freq(rope.recipe.theta, rope.rotary);
    std::vector<float> divisors;
    for (size_t i = 0; i < plain.size(); ++i) {
      const float wanted = rope.inv_freq[i];
      float divisor = plain[i] / wanted;
      for (const float to : {0.0f, INFINITY}) {
        const float next = std::nextafter(divisor, to);
        if (plain[i] / divisor != wanted && plain[i] / next == wanted) divisor = next;
      }
      divisors.push_back(divisor);
    }
    return divisors;
  }

  const Model& model_;
  const ModelSpec& spec_;
  const GgufArchitecture& architecture_;
  bool interleaves_ = false;
  std::vector<TargetTensor> out_;
};

}  // namespace

Result<std::vector<TargetTensor>> gguf_target_tensors(const Model& model,
                                                      const GgufArchitecture& architecture) {
  return TensorList(model, architecture).list();
}

}  // namespace phial
