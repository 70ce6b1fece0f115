// A question to a model, its answer as it comes: hello MODEL
#include <iostream>
#include <phial/phial.hpp>

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: hello MODEL\n";
    return 2;
  }
  try {
    const phial::Context context;
    const phial::Model model(context, argv[1]);
    const std::string prompt =
        model.render(R"([{"role": "user", "content": "Why is the sky blue?"}])");
    phial::Sequence sequence(model);
    // The prompt holds the special tokens as text already.
    sequence.append(model.tokenize(prompt, /*special_tokens=*/false));
    phial_generate_options options = PHIAL_GENERATE_OPTIONS_INIT;
    options.max_new_tokens = 64;
    sequence.generate(options, [](int32_t, std::string_view text) {
      std::cout << text << std::flush;
      return true;  // go on
    });
    std::cout << '\n';
  } catch (const phial::Error& error) {
    std::cerr << "hello: " << error.what() << '\n';
    return error.exit_code();
  }
}
