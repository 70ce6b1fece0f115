#!/usr/bin/env bash
# Builds the fuzz target fuzz/TARGET.cc and runs it for SECONDS:
#
#   scripts/fuzz.sh TARGET [SECONDS] [LIBFUZZER ARGUMENT...]
#
# New inputs are kept in build/fuzz/corpus/TARGET and used again by the next run; those that failed
# lie in build/fuzz/failures. The seeds are those that fuzz/make_seeds.py makes, the inputs that
# failed once (fuzz/finds), and, for templates, the files under tests/golden.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $# -eq 0 || ! -f fuzz/$1.cc ]]; then
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  printf 'targets:' >&2
  printf ' %s' $(basename -s .cc fuzz/*.cc) >&2
  printf '\n' >&2
  exit 2
fi
target=$1
seconds=${2:-60}
shift $(($# > 1 ? 2 : 1))

cmake --preset fuzz -DPHIAL_TESTS=OFF
cmake --build --preset fuzz --target "fuzz_$target"

# Inputs above this size make the fuzzer slow and teach it little.
max_bytes=65536
[[ $target != template ]] || max_bytes=400
corpus=build/fuzz/corpus/$target
seeds=build/fuzz/seeds/$target
failures=build/fuzz/failures
mkdir -p "$corpus" "$seeds" "$failures"

python3 fuzz/make_seeds.py build/fuzz/seeds
[[ ! -d fuzz/finds/$target ]] || cp fuzz/finds/"$target"/* "$seeds"
if [[ $target == template ]]; then
  find tests/golden -name '*.jinja' -size -64k -exec cp {} "$seeds" \;
  # The golden templates of one feature each.
  python3 - "$seeds" <<'PYTHON'
import json, pathlib, sys
cases = json.loads(pathlib.Path("tests/golden/templates/cases.json").read_text("utf-8"))["cases"]
for number, case in enumerate(case for case in cases if "template" in case):
    pathlib.Path(sys.argv[1], f"case-{number}").write_text(case["template"], encoding="utf-8")
PYTHON
fi

dictionary=()
[[ ! -f fuzz/$target.dict ]] || dictionary=("-dict=fuzz/$target.dict")
exec "build/fuzz/fuzz/fuzz_$target" \
  -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len="$max_bytes" \
  -artifact_prefix="$failures/$target-" "${dictionary[@]}" "$@" "$corpus" "$seeds"
