"""Text that the golden tokenizers are trained on, and text that they are asked about."""

# Enough repetition for a few hundred merges: prose, numbers, code, and a little of other scripts.
TRAINING_TEXT = [
    "The quick brown fox jumps over the lazy dog, and the dog doesn't mind. It's the third time this week that the"
    " fox has jumped over it; they're used to each other by now.",
    "A phial is a small glass bottle. In the workshop there were rows of small bottles, each with a label, and the"
    " labels told what was in the bottles and when they had been filled.",
    "She said that she'd come at seven, but the train was late, so they waited in the station and talked about the"
    " weather, the harvest, and the price of bread. \"We'll see,\" he answered, \"I've heard that before.\"",
    "In 1984 the river rose by 12.5 metres; in 2021 by 3.75. Of 1,048,576 numbers between 0 and 2097152 every second"
    " one is even: 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24.",
    "def mean(values):\n    total = 0.0\n    for value in values:\n        total += value\n    return total / len(values)\n\n\n"
    "def main():\n    print(mean([1, 2, 3]))\n\n\nif __name__ == \"__main__\":\n    main()\n",
    "#include <vector>\n\nint main(int argc, char** argv) {\n  std::vector<int> values(16, 0);\n  for (int i = 0; i < 16; ++i) {\n"
    "    values[i] = i * i;\n  }\n  return values[15] == 225 ? 0 : 1;\n}\n",
    "What is the capital of France? The capital of France is Paris. What is the capital of Italy? The capital of Italy"
    " is Rome. What is the capital of Japan? The capital of Japan is Tokyo.",
    "You are a helpful assistant. Please answer the question. Tell me a story about the sea and the stars. Write a"
    " list of three things that you would take with you.",
    "Der schnelle braune Fuchs springt über den faulen Hund. Größe, Maß und Übung: schöne Wörter für ein Wörterbuch.",
    "Voilà l'été: le garçon a mangé à la crêperie où il était déjà allé l'année dernière.",
    "Привет, мир! Как дела? Это простой текст на русском языке, и в нём нет ничего особенного.",
    "今天天气很好，我们去公园散步吧。你好，世界！今天我们学习新的词语。",
    "Once there was a king who had three sons. The first son was strong, the second son was clever, and the third son"
    " was kind. One day the king said to the sons: whoever brings the brightest stone shall have the kingdom.",
    "The three sons went out into the world. The strong one looked in the mountains, the clever one looked in the"
    " books, and the kind one stopped to help whoever he met, and so it was that he was the last to come home.",
]

# Each of these has gone wrong in some tokenizer: contractions in both cases, runs of white space of every kind, digits
# of other scripts, letters of several bytes, combining marks, emoji with joiners, code, words outside the training
# text, and what looks like special tokens. Code points newer than Unicode 14 are left out.
SAMPLE_TEXTS = [
    "",
    " ",
    "Hello, world!",
    "The quick brown fox jumps over the lazy dog.",
    "I'm sure they'll say we've said it's what he'd do, don't you're...",
    "I'M SURE THEY'LL SAY WE'VE SAID IT'S WHAT HE'D DO, 'Tis 'Re 'LL",
    "1 22 333 4444 55555 3.14159 1,000,000 2024-05-17 0x1F a1b2c3",
    "  two  spaces   three    four     five  ",
    "line one\nline two\n\n\nline five\r\nwindows\r\n\r\n \n  \n\tindented\t\ttabs\n",
    "trailing spaces   ",
    "\n\n leading newlines",
    "def mean(values):\n    total = 0.0\n    for value in values:\n        total += value\n",
    "if (a != b && c <= d) { return x[i]++ + --y; } // \"done\" <-- ok?!?!",
    "Übergrößen für schöne Häuser; garçon, naïve, Ærø, Łódź",
    "e\u0301 a\u0308 n\u0303 \u0301alone \u200bzero\u200bwidth\u00a0nbsp\u2003em\u3000ideographic",
    "Привет, мир! 今天天气很好，世界。 안녕하세요 עברית العربية ٣٤٥ Ⅷ ½ x²",
    "👍🏽 👩‍👩‍👧‍👦 🇩🇪 ☃ 🙂🙃 text🙂text",
    "quartz quartz Quartz QUARTZ quartzite, phial phials",
    "http://example.org/a_b/c-d?e=f&g=%20#h user@example.org",
    "<|im_start|>user\nHi<|im_end|>\n<|endoftext|>after <|end|> <|eot_id|><|begin_of_text|>x",
    "half a special: <|im_start <|endoftext| > |>",
    "’curly’ “quotes” — dash… \u0000\u0001\u007f control",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!!!!!!!!!!!!!!!!!!!!????",
]

# The 64-token prompt and the short ones of the batch test are cut from the ids of these.
PROMPT_TEXT = (
    "Once there was a small glass bottle in the workshop, and in it lived a number: 1984. One day the king of numbers"
    " came by and said, \"What is it that you do all day?\" The bottle didn't answer, for it had been told not to speak"
    " with kings; it had, however, a label, and the label said: def main():\n    return 42\n"
)
SHORT_PROMPT_TEXT = (
    "Привет! The third son of the lazy dog was kind; he would help the fox over the river, and what's more, he would"
    " tell it a story about the sea: 3.75 metres of stars.\n\nSo it was that they became friends."
)

CONVERSATIONS = [
    {"messages": [{"role": "user", "content": "What is the capital of France?"}], "add_generation_prompt": True},
    {
        "messages": [
            {"role": "system", "content": "You are a pirate.  Answer in rhyme."},
            {"role": "user", "content": "Tell me a story.\n\nAbout the sea, it's \"fine\" if it is short."},
            {"role": "assistant", "content": "The sea was wide & <b>blue</b>, the crew was two."},
            {"role": "user", "content": "  More, für größere Kinder 👍 \n"},
        ],
        "add_generation_prompt": True,
    },
    {
        "messages": [
            {"role": "user", "content": "2 + 2 = ?"},
            {"role": "assistant", "content": "4"},
        ],
        "add_generation_prompt": False,
    },
]
