"""Weights at random, the same ones in every format."""
import numpy

import shape

PATTERNS = 64


def rows_of(number, sizes):
    """Matrix `number` of tensors(): rows drawn from a few random ones, float16 [PATTERNS, columns], and which
    of them each row is. Speed depends on none of it, and a few rows are made and quantized in no time."""
    numbers = numpy.random.default_rng([shape.SEED, number])
    rows = 0.02 * numbers.standard_normal((PATTERNS, sizes[1]), numpy.float32)
    return rows.astype(numpy.float16), numbers.integers(0, PATTERNS, sizes[0])
