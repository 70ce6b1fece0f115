#include "engine/plan.h"

namespace phial {

Plan make_plan(const ModelSpec& spec) {
  Plan plan;
  plan.reserve(static_cast<size_t>(spec.layers) * 5 + 2);
  plan.push_back({PlanOp::embed, -1});
  for (int32_t layer = 0; layer < spec.layers; ++layer) {
    plan.push_back({PlanOp::attention_input, layer});
    plan.push_back({PlanOp::attention, layer});
    plan.push_back({PlanOp::attention_output, layer});
    plan.push_back({PlanOp::mlp_input, layer, spec.block_order == BlockOrder::parallel});
    plan.push_back({PlanOp::mlp_output, layer});
  }
  plan.push_back({PlanOp::head, -1});
  return plan;
}

}  // namespace phial
