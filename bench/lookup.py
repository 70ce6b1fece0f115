#!/usr/bin/env python3
"""What speculation from the text gains: answers that repeat much of their prompt, with drafts and without.

    bench/lookup.py PHIAL MODEL [--tokens 96] [--rounds 3] [more flags of phial run]

Each prompt is answered greedily with `--prompt-lookup-num-tokens 0` and with the default, in turns; the answers have
to be the same. Prints, for each, medians of the tokens per second behind the first one, and what was drafted.
"""

import argparse
import json
import statistics
import subprocess
import sys

CODE = '''def read_table(path, separator=","):
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file):
            line = line.rstrip("\\n")
            if not line or line.startswith("#"):
                continue
            cells = [cell.strip() for cell in line.split(separator)]
            if rows and len(cells) != len(rows[0]):
                raise ValueError(f"{path}:{number + 1}: expected {len(rows[0])} cells, got {len(cells)}")
            rows.append(cells)
    return rows


def column_totals(rows):
    totals = [0.0] * len(rows[0])
    for row in rows[1:]:
        for index, cell in enumerate(row):
            totals[index] += float(cell)
    return totals
'''
NOTES = """The valve on the north tank was replaced on Monday. The new valve opens at 4.2 bar and closes at 3.9 bar. \
On Tuesday the pressure in the north tank rose to 4.4 bar before the valve opened, which is more than the limit of \
4.3 bar. The sensor was checked on Wednesday and reads 0.1 bar too high. On Thursday the sensor was replaced, and \
the valve opened at 4.2 bar as it should. The south tank was not touched. Its valve is due for replacement in June."""

PROMPTS = {
    # The beginning of the answer tells a small model what to do.
    "code edit": f"# The code.\n{CODE}\n\n# The same code, with `rows` renamed to `table`.\n"
    + CODE[: CODE.index("    with open")].replace("rows", "table"),
    "notes quoted": f"Notes:\n{NOTES}\n\nThe same notes, one sentence per line:\n",
}


def answer(args, prompt, lookup):
    command = [args.phial, "run", "--json", "--raw", "--greedy", "--ignore-eos", "--max-new-tokens", str(args.tokens)]
    if not lookup:
        command += ["--prompt-lookup-num-tokens", "0"]
    command += [*args.flags, args.model, "-"]
    done = subprocess.run(command, input=prompt, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phial")
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    args, args.flags = parser.parse_known_args()
    for name, prompt in PROMPTS.items():
        rates, stats, texts = {False: [], True: []}, {}, set()
        for _ in range(args.rounds):
            for lookup in (False, True):
                report = answer(args, prompt, lookup)
                stats[lookup] = report["stats"]
                rates[lookup].append(report["stats"]["decode_tps"])
                texts.add(json.dumps(report["outputs"][0]))
        if len(texts) != 1:
            print(f"{name}: drafts changed the answer", file=sys.stderr)
            return 1
        plain, fast = (statistics.median(rates[lookup]) for lookup in (False, True))
        drafted, accepted = stats[True]["drafted_tokens"], stats[True]["accepted_tokens"]
        print(
            f"{name}: {plain:.1f} tok/s without, {fast:.1f} with: {fast / plain:.2f}x"
            f" ({accepted} of {drafted} drafts right, {args.tokens} tokens)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
