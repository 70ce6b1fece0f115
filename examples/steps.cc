// A generation step by step: two continuations of one text that share what was computed for it.
// The first takes the most likely tokens, the second never uses the letter "e".  steps MODEL
#include <cmath>
#include <iostream>
#include <phial/phial.hpp>

namespace {

std::string go_on(const phial::Model& model, phial::Sequence& sequence, char avoided) {
  phial_sampling greedy = PHIAL_SAMPLING_INIT;
  std::vector<int32_t> ids;
  for (int step = 0; step < 16; ++step) {
    sequence.compute_logits();
    const phial::LogitsView logits = sequence.logits();
    int32_t id = sequence.sample(greedy);
    while (avoided != 0 && model.piece(id).find(avoided) != std::string::npos) {
      logits.values[id] = -INFINITY;  // logits may be changed: the next choice is another one
      id = sequence.sample(greedy);
    }
    ids.push_back(id);
    sequence.append({id});
  }
  return model.detokenize(ids);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: steps MODEL\n";
    return 2;
  }
  try {
    const phial::Context context;
    const phial::Model model(context, argv[1]);
    const std::string text = "Once upon a time";
    phial::Sequence first(model);
    first.append(model.tokenize(text));
    first.compute_logits();
    phial::Sequence second = first.fork();
    first.rewind(first.length());  // its logits are gone: the step loop computes them again
    second.rewind(second.length());
    std::cout << text << go_on(model, first, 0) << "\n---\n";
    std::cout << text << go_on(model, second, 'e') << '\n';
  } catch (const phial::Error& error) {
    std::cerr << "steps: " << error.what() << '\n';
    return error.exit_code();
  }
}
