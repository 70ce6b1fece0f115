// Regressions named after published defects of other programs: paths, safetensors, npy, tokenizers,
// templates, JSON, messages. docs/security.md holds the table.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "base/npy.h"
#include "base/utf8.h"
#include "capi/test_help.h"
#include "formats/safetensors.h"
#include "formats/test_files.h"
#include "model/model.h"
#include "text/chat_template.h"

namespace phial {
namespace {

using test::SafetensorsBuilder;

ErrorCode code_of_safetensors(const std::string& bytes) {
  const auto tensors = parse_safetensors(
      {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "t.safetensors");
  EXPECT_FALSE(tensors.ok());
  return tensors.ok() ? ErrorCode::internal : tensors.error().code;
}

Result<std::string> rendered(const std::string& source) {
  PHIAL_ASSIGN(const auto compiled, ChatTemplate::parse(source, "t.jinja"));
  const Json variables = *parse_json(R"({"messages":[{"role":"user","content":"x"}]})", "v");
  return compiled->render(variables, 0);
}

// Names out of an index or a model: ONNX, Ollama, Triton, OpenVINO
constexpr const char* kEscapes[] = {"../x",
                                    "..",
                                    "a/../../x",
                                    "subdir/../../x",
                                    "#../x",
                                    "./../x",
                                    "/etc/passwd",
                                    "//host/x",
                                    "..\\x",
                                    "a\\..\\..\\x",
                                    "C:\\x",
                                    "C:x",
                                    "\\\\host\\x",
                                    "file:///etc/passwd",
                                    "http://host/x",
                                    "x/",
                                    "a//x",
                                    "x ",
                                    "x.",
                                    "...",
                                    "a/.. /x",
                                    "\xC0\xAE\xC0\xAE/x",
                                    "x\x01",
                                    "x\x1b[2J",
                                    ""};

TEST(Cve, N2024_37032_2026_7020_2026_103663_NamesNeverLeaveTheFolder) {
  for (const char* name : kEscapes) {
    const auto path = resolve_sidecar("/models/m", name, "index.json");
    ASSERT_FALSE(path.ok()) << name;
    EXPECT_EQ(path.error().code, ErrorCode::damaged);
  }
  EXPECT_FALSE(resolve_sidecar("/m", std::string_view("x\0.bin", 6), "index.json").ok());
  EXPECT_FALSE(resolve_sidecar("/m", std::string(4096, 'x'), "index.json").ok());
}

TEST(Cve, N2022_25882_2024_27318_2024_5187_AnIndexWithOneBadNameOpensNothing) {
  const std::string good = SafetensorsBuilder().tensor("a", "F32", {1}, "1234").build();
  for (const char* name : kEscapes) {
    if (utf8::find_invalid(name)) continue;  // JSON cannot hold it
    MemoryFiles files;
    files.put("/models/m/good", good);
    files.put("/models/x", SafetensorsBuilder().tensor("b", "F32", {1}, "1234").build());
    Json map{Json::Object()};
    map.set("a", "good");
    map.set("b", name);
    Json index;
    index.set("weight_map", map);
    files.put("/models/m/model.safetensors.index.json", to_text(index));
    const auto shards = read_sharded_safetensors(files, "/models/m/model.safetensors.index.json");
    ASSERT_FALSE(shards.ok()) << name;
    EXPECT_TRUE(shards.error().where.find("index.json") != std::string::npos)
        << shards.error().to_string();
  }
}

class CveOnDisk : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "phial-cve-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(CveOnDisk, N2024_39719_39721_39722_OnlyRegularFilesAreOpened) {
  const std::string pipe = folder_ + "/pipe.gguf";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::filesystem::create_symlink("/dev/zero", folder_ + "/zero.gguf");
  std::filesystem::create_symlink("/dev/random", folder_ + "/random.gguf");
  const auto files = disk_files();
  for (const char* name : {"/pipe.gguf", "/zero.gguf", "/random.gguf", ""}) {
    const auto mapped = files->map(folder_ + name);
    ASSERT_FALSE(mapped.ok());
    EXPECT_EQ(mapped.error().code, ErrorCode::unsupported) << mapped.error().to_string();
  }
}

TEST_F(CveOnDisk, N2025_51480_2026_27489_2026_34447_WritesFollowNoLink) {
  const std::string victim = folder_ + "/victim", out = folder_ + "/out";
  const auto files = disk_files();
  const auto write = [&](const std::string& path) -> Status {
    PHIAL_ASSIGN(const auto writer, files->create(path));
    PHIAL_TRY(writer->append(std::vector<uint8_t>{'n', 'e', 'w'}));
    return writer->commit();
  };
  ASSERT_TRUE(write(victim).ok());
  std::filesystem::create_symlink(victim, out);
  std::filesystem::create_hard_link(victim, folder_ + "/hard");
  ASSERT_TRUE(write(out).ok());
  ASSERT_TRUE(write(folder_ + "/hard").ok());
  EXPECT_FALSE(std::filesystem::is_symlink(out));
  EXPECT_EQ(std::filesystem::hard_link_count(victim), 1u);
}

// safetensors: a file of 118 bytes that two readers understand differently; holes and overlaps hide
// a second meaning
TEST(Cve, SafetensorsOfTwoMeanings) {
  EXPECT_EQ(code_of_safetensors(
                SafetensorsBuilder::raw(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                        R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                                        "1234")),
            ErrorCode::damaged);
  for (const char* header : {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                             R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"}) {
    EXPECT_EQ(code_of_safetensors(SafetensorsBuilder::raw(header, "12345678")), ErrorCode::damaged);
  }
}

// safetensors-cpp: a product that is not checked, in 128 bytes
TEST(Cve, SafetensorsShapesThatOverflow) {
  for (const char* shape : {"[4294967296,4294967296]", "[9223372036854775807,2]",
                            "[2305843009213693952,8]", "[4611686018427387905,4]"}) {
    EXPECT_EQ(
        code_of_safetensors(SafetensorsBuilder::raw(
            std::string(R"({"a":{"dtype":"F32","shape":)") + shape + R"(,"data_offsets":[0,16]}})",
            std::string(16, 'x'))),
        ErrorCode::damaged)
        << shape;
  }
}

// MLX: heap read by a .npy header that claims more than there is
TEST(Cve, N2025_62608_NpyShapesBeyondTheFile) {
  for (const char* shape : {"(9999999999,)", "(4294967296, 4294967296)", "(4611686018427387904, 4)",
                            "(18446744073709551615,)", "(-1,)"}) {
    const std::string dict =
        std::string("{'descr': '<f4', 'fortran_order': False, 'shape': ") + shape + ", }\n";
    const std::string file = std::string("\x93NUMPY\x01\x00", 8) +
                             test::le(static_cast<uint16_t>(dict.size())) + dict + "12345678";
    const auto array =
        parse_npy({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, "t.npy");
    ASSERT_FALSE(array.ok()) << shape;
    EXPECT_EQ(array.error().code, ErrorCode::damaged);
  }
}

// llama.cpp #27434, #26600: depth kills
TEST(Cve, JsonNestedWithoutEnd) {
  for (const size_t depth : {size_t{200}, size_t{3000}, size_t{1} << 20}) {
    for (const char* open : {"[", "{\"a\":"}) {
      std::string text;
      for (size_t i = 0; i < depth; ++i) text += open;
      EXPECT_FALSE(parse_json(text, "t.json").ok());
      const bool array = *open == '[';
      text += array ? "" : "1";
      text.append(depth, array ? ']' : '}');
      const auto value = parse_json(text, "t.json");
      ASSERT_FALSE(value.ok());
      EXPECT_EQ(value.error().code, ErrorCode::over_limit);
    }
  }
}

TEST(Cve, N2026_21869_NegativeNumbersInJson) {
  for (const char* member : {"max_new_tokens", "top_k", "top_p", "temperature", "eos_token_id"}) {
    for (const char* value : {"-1", "-2147483649", "9223372036854775808", "1e308", "[-1]"}) {
      Checkpoint checkpoint;
      checkpoint.generation_config =
          *parse_json("{\"" + std::string(member) + "\":" + value + "}", "g");
      const auto defaults = generation_defaults(checkpoint, nullptr);
      ASSERT_FALSE(defaults.ok()) << member << " " << value;
      EXPECT_EQ(defaults.error().code, ErrorCode::damaged);
    }
  }
}

std::string bpe(const std::string& vocab, const std::string& merges,
                const std::string& pre_tokenizer) {
  return R"({"version":"1.0","added_tokens":[],"normalizer":null,"post_processor":null,)"
         R"("decoder":{"type":"ByteLevel"},"pre_tokenizer":)" +
         pre_tokenizer + R"(,"model":{"type":"BPE","vocab":)" + vocab + R"(,"merges":)" + merges +
         "}}";
}

const std::string kByteLevel =
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";

Result<std::shared_ptr<const Tokenizer>> tokenizer_of(const std::string& json) {
  PHIAL_ASSIGN(TokenizerSpec spec, tokenizer_spec_from_hf(json, {}, {}, "tokenizer.json"));
  return Tokenizer::create(std::move(spec));
}

// Hugging Face tokenizers #2094, #2198
TEST(Cve, MergesOutsideTheVocabulary) {
  for (const char* merges : {R"([["a","c"]])", R"([["a","b"]])", R"([["","a"]])", R"(["a"])",
                             R"([["a","b","c"]])", R"(["a b c"])", R"([[0,1]])"}) {
    EXPECT_FALSE(tokenizer_of(bpe(R"({"a":0,"b":1})", merges, kByteLevel)).ok()) << merges;
  }
}

// Hugging Face tokenizers: ids without bound ask for memory without bound
TEST(Cve, TokenIdsAreBounded) {
  for (const char* id : {"-1", "16777216", "2147483648", "9223372036854775807", "1e3", "null"}) {
    const auto tokenizer =
        tokenizer_of(bpe(std::string(R"({"a":0,"b":)") + id + "}", "[]", kByteLevel));
    EXPECT_FALSE(tokenizer.ok()) << id;
  }
}

// Hugging Face tokenizers #2060: (a+)+ takes exponential time
TEST(Cve, PatternsThatBacktrackEndSoon) {
  for (const char* pattern :
       {"(a+)+$", "(a|a)*b", "(.*)*x", "(?=(a+))\\\\1b", "(a{1,30}){1,30}c"}) {
    const auto tokenizer =
        tokenizer_of(bpe(R"({"a":0})", "[]",
                         std::string(R"({"type":"Split","pattern":{"Regex":")") + pattern +
                             R"("},"behavior":"Isolated","invert":false})"));
    if (!tokenizer.ok()) continue;  // refused is as good
    const auto begin = std::chrono::steady_clock::now();
    const auto ids = (*tokenizer)->encode(std::string(5000, 'a') + "!", {});
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10)) << pattern;
    if (!ids.ok()) {
      EXPECT_EQ(ids.error().code, ErrorCode::over_limit) << pattern;
    }
  }
}

// tiktoken: a million of one character overflow the stack, or take quadratic time
TEST(Cve, N2025_52566_AMillionOfOneCharacter) {
  const auto tokenizer = tokenizer_of(bpe(R"({"^":0,"^^":1})", R"([["^","^"]])", kByteLevel));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
  const auto ids = (*tokenizer)->encode(std::string(1'000'000, '^'), {});
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(ids->size(), 500'000u);
  const auto refused = (*tokenizer)->encode(std::string(kMaxTextBytes + 1, '^'), {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::over_limit);
}

TEST(Cve, N2024_34359_2024_56326_2026_5760_TemplatesReachNoObjects) {
  for (const char* source :
       {"{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages.__init__.__globals__ }}",
        "{{ self.__init__.__globals__ }}", "{{ cycler.__init__.__globals__.os.popen('id') }}",
        "{{ ''|attr('__class__')|attr('__base__') }}", "{{ '%s'|attr('format_map')(messages) }}",
        "{{ '{0.__class__}'.format(1) }}", "{{ ''['__class__']['__base__'] }}",
        "{% import 'os' as os %}{{ os.system('id') }}", "{% include '/etc/passwd' %}",
        "{{ messages.append(1) }}"}) {
    const auto text = rendered(source);
    if (text.ok()) {
      EXPECT_EQ(text->find("class"), std::string::npos) << source << ": " << *text;
      EXPECT_EQ(text->find("root:"), std::string::npos) << source;
    } else {
      EXPECT_NE(text.error().code, ErrorCode::internal) << source;
    }
  }
}

// vLLM CVE-2025-61620, CVE-2025-62426; llama.cpp #24140, #26387; Ollama #17035; minijinja #924
TEST(Cve, N2025_61620_62426_TemplatesEndSoon) {
  for (const char* source :
       {"{% for i in range(1000000000) %}x{% endfor %}", "{{ range(10**11)|list }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ 'x' * 10**9 }}",
        "{{ ('x' * 100000) * 100000 }}", "{{ 'x\ny'|indent(1000000000) }}",
        "{{ messages|tojson(indent=1000000000) }}", "{{ '%1000000000d'|format(1) }}",
        "{{ 'x'|center(1000000000) }}", "{{ 10 ** 10 ** 10 }}"}) {
    const auto text = rendered(source);
    ASSERT_FALSE(text.ok()) << source;
    EXPECT_NE(text.error().code, ErrorCode::internal) << source;
  }
}

// Log and terminal injection by names out of files
TEST(Cve, MessagesObeyNoFile) {
  const std::string evil =
      "\x1b]0;x\x07\x1b[2J\n\r\u009b2J\u202e\u2066\u200f\u061c\u2028\ufeff\x7f";
  for (const std::string& text :
       {damaged(evil, evil, evil).to_string(), unsupported("t", evil).to_string()}) {
    for (const char* bad : {"\x1b", "\x07", "\n", "\r", "\u009b", "\u202e", "\u2066", "\u200f",
                            "\u061c", "\u2028", "\ufeff", "\x7f"}) {
      EXPECT_EQ(text.find(bad), std::string::npos) << text;
    }
  }
}

}  // namespace
}  // namespace phial
