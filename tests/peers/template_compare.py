"""Chat templates against jinja2 in the environment of Hugging Face transformers.

    template_compare.py --scratch FOLDER --text-test build/release/text_test
                        [--templates FOLDER] [--random COUNT] [--seed N] [--show N]

1. tests/golden/templates/cases.json is what make_templates.py makes.
2. With --templates: each *.jinja of the folder with each conversation of make_templates.py, with and
   without a generation prompt. Real templates belong to their authors and are not in this tree.
3. COUNT random templates of template_random.py.

phial's side is rendered by the unit test RendersGivenCases, whose clock stands where ours does. Two
renderings agree when the texts are equal or both raise. What phial refuses by design (DESIGN.md,
"Chat templates") is counted apart.
"""

import argparse
import collections
import json
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

from report import Report

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "golden"))

import make_templates  # noqa: E402  (needs the path above)
import template_random  # noqa: E402

BATCH = 2000


def rendered_by_phial(options, file):
    """The results of text_test for the cases of `file`."""
    cases, results = options.scratch / "cases.json", options.scratch / "results.json"
    cases.write_text(json.dumps(file, ensure_ascii=False), encoding="utf-8")
    results.unlink(missing_ok=True)
    done = subprocess.run([options.text_test, "--gtest_filter=ChatTemplate.RendersGivenCases"], check=False,
                          capture_output=True, text=True, timeout=600,
                          env=dict(os.environ, TZ="UTC", PHIAL_TEMPLATE_CASES=str(cases),
                                   PHIAL_TEMPLATE_RESULTS=str(results)))
    if done.returncode != 0 or not results.exists():
        raise RuntimeError(f"text_test ended with {done.returncode}: {(done.stdout + done.stderr)[-600:]}")
    return json.loads(results.read_text("utf-8"))


def verdict(case, result):
    """One of "same", "refused: WHY" and "differs"."""
    if "expected" not in case:
        return "differs" if "text" in result or result["error"] == "internal" else "same"
    if result.get("text") == case["expected"]:
        return "same"
    if "text" not in result:
        if "64 bits" in result["message"]:
            return "refused: integers beyond 64 bits"
        if result["error"] == "over_limit":
            return "refused: over a limit"
        if "complex" in result["message"]:
            return "refused: complex numbers"
    return "differs"


def compare(options, file, counts):
    """Adds verdicts to `counts`; returns the cases that differ, with what phial made of them."""
    different = []
    for case, result in zip(file["cases"], rendered_by_phial(options, file), strict=True):
        found = verdict(case, result)
        counts[found] += 1
        counts["both raise"] += found == "same" and "expected" not in case
        if found == "differs":
            different.append((case, result))
    return different


def show(different, most):
    for case, result in different[:most]:
        print(f"  {case['name']}: {case.get('template', '')!r}")
        print(f"    jinja2: {case.get('expected', 'raises')!r}"[:700])
        print(f"    phial:  {result.get('text', result.get('message'))!r}"[:700])


def summary(counts):
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def compare_templates(options, report):
    paths = sorted(options.templates.glob("*.jinja"))
    report.check(bool(paths), "templates", f"{len(paths)} in the folder")
    for path in paths:
        counts = collections.Counter()
        file = make_templates.conversation_file({path.stem: path.read_text(encoding="utf-8")})
        different = compare(options, file, counts)
        show(different, options.show)
        report.check(not different and len(counts) - ("both raise" in counts) == 1, path.name, summary(counts))


def compare_random(options, report):
    rng = random.Random(options.seed)
    counts, left = collections.Counter(), options.random
    while left > 0:
        cases = []
        while len(cases) < min(left, BATCH):
            template, variables = template_random.make(rng)
            outcome = make_templates.outcome(template, variables)
            if template_random.comparable(outcome.get("expected", "")):
                cases.append({"name": f"random/{options.random - left + len(cases)}", "template": template,
                              "variables": variables, **outcome})
        show(compare(options, {"cases": cases}, counts), options.show - counts["differs"] + 1)
        left -= len(cases)
    report.check(counts["differs"] == 0, f"{options.random} random templates, seed {options.seed}", summary(counts))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scratch", type=Path, required=True, help="folder for files of this run")
    parser.add_argument("--text-test", type=Path, required=True)
    parser.add_argument("--templates", type=Path, help="folder of *.jinja to compare as well")
    parser.add_argument("--random", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=3, help="how many differences to print in full")
    options = parser.parse_args()

    warnings.simplefilter("ignore")  # Python's about invalid escapes in string literals of templates
    options.scratch.mkdir(parents=True, exist_ok=True)
    report = Report()
    committed = make_templates.GOLDEN_CASES.read_text("utf-8")
    report.check(make_templates.golden_text() == committed, "golden cases", "cases.json is what jinja2 makes today")
    if options.templates:
        compare_templates(options, report)
    compare_random(options, report)
    report.exit()


if __name__ == "__main__":
    main()
