"""What the test programs written in Python share: their options and how they end."""

import argparse
import os
import sys
import unittest


def paths(*names):
    """The paths given as --NAME PATH for each of `names`, absolute; what else was given stays for unittest."""
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument("--" + name, required=True)
    options, sys.argv[1:] = parser.parse_known_args()
    return [os.path.abspath(getattr(options, name)) for name in names]


def run():
    """Runs the tests of the main module, prints how many there were and returns the exit code: 1 also for none."""
    result = unittest.main(exit=False).result
    bad = len(result.failures) + len(result.errors)
    name = os.path.basename(sys.argv[0]).removesuffix(".py")
    print(f"{name}: {result.testsRun} tests, {bad} failed, {len(result.skipped)} skipped")
    return 1 if bad or not result.testsRun else 0
