#include "eval/bench_model.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "engine/golden_models.h"
#include "eval/bench_floors.h"
#include "eval/bench_plan.h"
#include "eval/bench_rows.h"
#include "model/synthetic.h"

namespace phial {
namespace {

std::shared_ptr<const Runtime> runtime_of(int threads) {
  return must(Runtime::create(threads, "", disk_files()));
}

BenchSubject synthetic_subject(std::shared_ptr<const Runtime> runtime, std::string name) {
  BenchSubject subject;
  subject.name = name;
  subject.open = [=]() -> Result<BenchSubject::Opened> {
    BenchSubject::Opened opened;
    PHIAL_ASSIGN(opened.model, make_synthetic(name, 0, *runtime->threads));
    PHIAL_ASSIGN(opened.decoder, make_native_decoder(runtime, opened.model));
    return opened;
  };
  return subject;
}

std::map<std::string, const Json*> by_name(const Json& report) {
  std::map<std::string, const Json*> rows;
  for (const Json& row : *report.find("rows")->if_array()) {
    rows[*row.find("name")->if_string()] = &row;
  }
  return rows;
}

TEST(BenchModel, RowsOfASyntheticModel) {
  const auto runtime = runtime_of(2);
  ModelBenchOptions options;
  options.prompts = {{3, 512, 1024}};
  options.depths = {{0, 600, 1024}};
  options.batches = {{2, 6}};
  options.rounds = 1;
  int64_t told = 0;
  options.progress = [&](std::string_view what, int64_t done, int64_t total) {
    EXPECT_FALSE(what.empty());
    EXPECT_LE(done, total);
    ++told;
    return true;
  };
  const Json report = must(bench_model(runtime, synthetic_subject(runtime, "tiny:q4_0"), options));
  EXPECT_GT(told, 10);
  const auto rows = by_name(report);
  for (const char* name :
       {"prefill_3", "prefill_512", "prefill_1024", "decode_depth_0", "decode_depth_600",
        "decode_depth_1024", "pass_2_over_1", "pass_6_over_1"}) {
    ASSERT_TRUE(rows.contains(name)) << name;
    const Json& row = *rows.at(name);
    const double value = row.find("value")->number().value();
    EXPECT_GT(value, 0) << name;
    EXPECT_GT(row.find("percent_of_probe")->number().value(), 0) << name;
    EXPECT_NE(row.find("probe")->if_string(), nullptr) << name;
    EXPECT_LE(row.find("p10")->number().value(), value) << name;
    EXPECT_GE(row.find("p90")->number().value(), value) << name;
    EXPECT_EQ(*row.find("samples"), Json(1)) << name;
  }
  EXPECT_EQ(*rows.at("prefill_512")->find("probe"), Json("fma_gflops"));
  EXPECT_EQ(*rows.at("decode_depth_0")->find("probe"), Json("dram_gbps"));
  for (const char* name : {"ttft_512_ms", "inter_token_p50_ms", "inter_token_p99_ms",
                           "peak_rss_bytes", "peak_anonymous_bytes"}) {
    ASSERT_TRUE(rows.contains(name)) << name;
    EXPECT_TRUE(rows.at(name)->find("percent_of_probe")->is_null()) << name;
  }
  // No files, no tokenizer: nothing to load or to tokenize with.
  EXPECT_FALSE(rows.contains("load_warm_ms"));
  EXPECT_FALSE(rows.contains("tokenizer_mbps"));
  const Json& model = *report.find("model");
  EXPECT_EQ(*model.find("name"), Json("tiny:q4_0"));
  EXPECT_EQ(*model.find("grid"), Json("q4_0"));
  EXPECT_EQ(*report.find("settings")->find("threads"), Json(2));
  EXPECT_GT(report.find("probes")->find("dram_gbps")->number().value(), 0);
}

TEST(BenchModel, FilesAreLoaded) {
  const auto runtime = runtime_of(1);
  BenchSubject subject;
  subject.name = "llama-smol";
  subject.from_files = true;
  int opened = 0;
  subject.open = [&]() -> Result<BenchSubject::Opened> {
    ++opened;
    BenchSubject::Opened made;
    made.model = load_model("llama-smol");
    PHIAL_ASSIGN(made.decoder, make_native_decoder(runtime, made.model));
    PHIAL_ASSIGN(made.tokenizer, open_tokenizer(*made.model->checkpoint));
    return made;
  };
  ModelBenchOptions options;
  options.prompts = options.depths = options.batches = std::vector<int64_t>();
  options.rounds = 2;
  const Json report = must(bench_model(runtime, subject, options));
  const auto rows = by_name(report);
  EXPECT_TRUE(rows.contains("load_warm_ms"));
  EXPECT_TRUE(rows.contains("tokenizer_mbps"));
  EXPECT_GT(report.find("probes")->find("text_scan_mbps")->number().value(), 0);
  EXPECT_GE(opened, 3);
  EXPECT_FALSE(rows.contains("prefill_128"));
  EXPECT_FALSE(rows.contains("decode_depth_0"));
}

TEST(BenchModel, ProgressCanStopIt) {
  const auto runtime = runtime_of(1);
  ModelBenchOptions options;
  options.progress = [](std::string_view, int64_t done, int64_t) { return done < 2; };
  options.rounds = 1;
  const auto report = bench_model(runtime, synthetic_subject(runtime, "tiny:q8_0"), options);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, ErrorCode::cancelled);
}

TEST(BenchPlan, UsualOnesThatFit) {
  const BenchPlan all = must(make_bench_plan({}, 8192));
  EXPECT_EQ(all.short_prompts, (std::vector<int64_t>{128, 512}));
  EXPECT_EQ(all.long_prompts, (std::vector<int64_t>{2048, 4096}));
  EXPECT_TRUE(all.at_the_beginning);
  EXPECT_EQ(all.depths, (std::vector<int64_t>{1024, 4096}));
  EXPECT_EQ(all.batches.size(), 15u);
  EXPECT_EQ(all.positions, 4096 + kMaxDecodeTokens + 1);
  const BenchPlan small = must(make_bench_plan({}, 600));
  EXPECT_EQ(small.short_prompts, (std::vector<int64_t>{128, 512}));
  EXPECT_TRUE(small.long_prompts.empty());
  EXPECT_TRUE(small.depths.empty());
}

TEST(BenchPlan, GivenOnesMustFit) {
  ModelBenchOptions options;
  options.prompts = {{1536, 700, 700, 512}};
  options.depths = {{5}};
  options.batches = std::vector<int64_t>();
  const BenchPlan plan = must(make_bench_plan(options, 8192));
  // 700 tokens are no whole pieces.
  EXPECT_EQ(plan.short_prompts, (std::vector<int64_t>{512, 700}));
  EXPECT_EQ(plan.long_prompts, (std::vector<int64_t>{1536}));
  EXPECT_FALSE(plan.at_the_beginning);
  EXPECT_TRUE(plan.batches.empty());
  EXPECT_EQ(make_bench_plan(options, 1600).error().code, ErrorCode::context_full);
  options.prompts = {{0}};
  EXPECT_EQ(make_bench_plan(options, 8192).error().code, ErrorCode::usage);
  options.prompts = {{1}};
  options.batches = {{1}};
  EXPECT_EQ(make_bench_plan(options, 8192).error().code, ErrorCode::usage);
  options.batches = {{17}};
  EXPECT_EQ(make_bench_plan(options, 8192).error().code, ErrorCode::usage);
  options.batches = {{16}};
  options.rounds = 0;
  EXPECT_EQ(make_bench_plan(options, 8192).error().code, ErrorCode::usage);
  options.rounds = 1;
  EXPECT_EQ(make_bench_plan(options, 10).error().code, ErrorCode::unsupported);
}

Json report_of(double prefill) {
  BenchRows rows;
  rows.declare("prefill_512", "tok/s", "int8_gops");
  rows.declare("never", "ms");
  rows.declare("ttft_512_ms", "ms");
  rows.add("ttft_512_ms", 12);
  for (const double away : {-10, 0, 1}) rows.add("prefill_512", 100 + away, prefill + away);
  Json settings;
  settings.set("isa", "avx2");
  settings.set("compute", "int8");
  Json model;
  model.set("grid", "q4_0");
  Json report;
  report.set("settings", std::move(settings));
  report.set("model", std::move(model));
  report.set("rows", rows.to_json());
  return report;
}

TEST(BenchRows, MediansInTheOrderOfDeclaration) {
  const Json report = report_of(70);
  const Json::Array& rows = *report.find("rows")->if_array();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(*rows[0].find("name"), Json("prefill_512"));
  EXPECT_EQ(*rows[0].find("value"), Json(100.0));
  EXPECT_EQ(*rows[0].find("percent_of_probe"), Json(70.0));
  EXPECT_EQ(*rows[0].find("samples"), Json(3));
  EXPECT_DOUBLE_EQ(*rows[0].find("p10")->if_real(), 92);
  EXPECT_EQ(rows[1].find("probe"), nullptr);
}

// The "holds" of the floors, or the error's code.
std::string floors(double prefill, const std::string& sets) {
  const auto parsed = BenchFloors::parse("{\"sets\":[" + sets + "]}", "floors.json");
  if (!parsed.ok()) return error_info(parsed.error().code).name;
  const auto checked = parsed->check(report_of(prefill));
  if (!checked.ok()) return error_info(checked.error().code).name;
  std::string out;
  for (const Json& floor : *checked->if_array()) {
    out += *floor.find("name")->if_string() + (*floor.find("holds")->if_bool() ? " yes " : " no ");
  }
  return out;
}

TEST(BenchFloors, SetsThatApplyAreChecked) {
  const std::string at_70 = R"("floors":{"prefill_512":70})";
  EXPECT_EQ(floors(70, "{" + at_70 + "}"), "prefill_512 yes ");
  EXPECT_EQ(floors(69.9, "{" + at_70 + "}"), "prefill_512 no ");
  const auto when = [&](const std::string& conditions) {
    return floors(50, R"({"when":{)" + conditions + "}," + at_70 + "}");
  };
  EXPECT_EQ(when(R"("isa":"avx2","compute":"int8","grid":["q8_0","q4_0"])"), "prefill_512 no ");
  EXPECT_EQ(when(R"("isa":"avx512")"), "usage");  // nothing is checked: said, not passed
  EXPECT_EQ(when(R"("kv":"int8")"), "usage");     // the report does not tell
  EXPECT_EQ(when(R"("colour":"blue")"), "damaged");
  EXPECT_EQ(floors(50, R"({"when":{"isa":"avx512"},)" + at_70 + R"(},{"floors":{}})"), "");
}

TEST(BenchFloors, RowsThatAreMissing) {
  EXPECT_EQ(floors(50, R"({"floors":{"prefill_9":1}})"), "");
  EXPECT_EQ(floors(50, R"({"floors":{"prefill_9":1},"required":true})"), "usage");
  EXPECT_EQ(floors(50, R"({"floors":{"ttft_512_ms":1}})"), "usage");
}

TEST(BenchFloors, Damaged) {
  EXPECT_EQ(floors(50, "3"), "damaged");
  EXPECT_EQ(floors(50, R"({"floors":{"prefill_512":"70"}})"), "damaged");
  EXPECT_EQ(floors(50, R"({"floors":[]})"), "damaged");
  EXPECT_EQ(floors(50, R"({"when":[],"floors":{}})"), "damaged");
  EXPECT_EQ(floors(50, "{"), "damaged");
}

}  // namespace
}  // namespace phial
