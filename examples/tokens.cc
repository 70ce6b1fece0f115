// Text to token ids and back: tokens MODEL TEXT. MODEL needs no weights here.
#include <iostream>
#include <phial/phial.hpp>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: tokens MODEL TEXT\n";
    return 2;
  }
  try {
    const phial::Context context;
    const phial::Model model(context, argv[1], PHIAL_LOAD_TEXT);
    const std::vector<int32_t> ids = model.tokenize(argv[2], /*special_tokens=*/false);
    for (const int32_t id : ids) std::cout << id << '\t' << model.piece(id) << '\n';
    std::cout << model.detokenize(ids) << '\n';
  } catch (const phial::Error& error) {
    std::cerr << "tokens: " << error.what() << '\n';
    return error.exit_code();
  }
}
