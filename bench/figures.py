# SPDX-License-Identifier: Apache-2.0
"""Percentiles and tables for the benchmarks."""
import math

POINTS = (("p50", 0.50), ("p90", 0.90), ("p99", 0.99), ("p999", 0.999))


def percentile(ordered, share):
    """The nearest-rank percentile of a sorted list."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values):
    """min, p50, p90, p99, p999 and max of some figures."""
    ordered = sorted(values)
    result = {"min": ordered[0]}
    result.update((name, percentile(ordered, share)) for name, share in POINTS)
    result["max"] = ordered[-1]
    return result


def _short(value):
    if value >= 1e5:
        return f"{value:.4g}"
    return f"{value:.3f}".rstrip("0").rstrip(".")


def table(rows):
    """Rows of (name, spread) as aligned text."""
    heads = ("", "min", "p50", "p90", "p99", "p999", "max")
    lines = [heads] + [
        (name,) + tuple(_short(figures[head]) for head in heads[1:]) for name, figures in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0])] +
                  [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])])
        for line in lines)
