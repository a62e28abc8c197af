"""Estimates of all labels from their buckets' scores.

# N instances, L labels, R repetitions, T buckets of all repetitions
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import compiled


@compiled.loop
def means(
    terms: np.ndarray, buckets: np.ndarray, estimates: np.ndarray
) -> None:
    """Writes the mean over repetitions of each label's terms.

    Args:
        terms: [N, T], buckets' logits or probabilities.
        buckets: [R, L] unsigned integers, each label's bucket among the
            buckets of all repetitions.
        estimates: [N, L].
    """
    num_repetitions = len(buckets)
    reciprocal = np.float32(1 / num_repetitions)
    for row in range(len(estimates)):
        row_terms, row_estimates = terms[row], estimates[row]
        row_estimates[:] = 0
        for repetition in range(num_repetitions):
            label_buckets = buckets[repetition]
            for label in range(len(row_estimates)):
                row_estimates[label] += row_terms[label_buckets[label]]
        for label in range(len(row_estimates)):
            row_estimates[label] *= reciprocal


@compiled.loop
def middles(
    terms: np.ndarray,
    buckets: np.ndarray,
    first: int,
    last: int,
    estimates: np.ndarray,
) -> None:
    """Writes the mean of each label's terms of the ranks [first, last).

    The smallest has rank 0: [0, 1) is the minimum, the ranks in the middle the
    median. All other arguments are as in `means`.
    """
    num_repetitions = len(buckets)
    ordered = np.empty(num_repetitions, np.float32)
    for row in range(len(estimates)):
        for label in range(buckets.shape[1]):
            for repetition in range(num_repetitions):
                term = terms[row, buckets[repetition, label]]
                position = repetition
                while position and ordered[position - 1] > term:
                    ordered[position] = ordered[position - 1]
                    position -= 1
                ordered[position] = term
            total = np.float32(0)
            for position in range(first, last):
                total += ordered[position]
            estimates[row, label] = total / np.float32(last - first)
