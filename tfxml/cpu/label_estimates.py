"""Labels' estimates from the terms of their buckets.

# N instances, L labels, R repetitions, T buckets of all repetitions
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import compiled


@compiled.loop
def means(
    terms: np.ndarray, buckets: np.ndarray, estimates: np.ndarray
) -> None:
    """Writes the labels' mean terms.

    Args:
        terms: [N, T].
        buckets: [R, L] unsigned integers, each label's bucket among the
            buckets of all repetitions.
        estimates: [N, L].
    """
    num_repetitions = len(buckets)
    share = np.float32(1 / num_repetitions)
    for row in range(len(estimates)):
        own = estimates[row]
        own[:] = 0
        for repetition in range(num_repetitions):
            some, of_labels = terms[row], buckets[repetition]
            for label in range(len(own)):
                own[label] += some[of_labels[label]]
        for label in range(len(own)):
            own[label] *= share


@compiled.loop
def middles(
    terms: np.ndarray,
    buckets: np.ndarray,
    first: int,
    last: int,
    estimates: np.ndarray,
) -> None:
    """Writes the means of the labels' terms of the ranks [first, last).

    The least has rank 0. The arguments are else those of `means`.
    """
    num_repetitions = len(buckets)
    ordered = np.empty(num_repetitions, np.float32)
    for row in range(len(estimates)):
        for label in range(buckets.shape[1]):
            for repetition in range(num_repetitions):
                term = terms[row, buckets[repetition, label]]
                place = repetition
                while place and ordered[place - 1] > term:
                    ordered[place] = ordered[place - 1]
                    place -= 1
                ordered[place] = term
            total = np.float32(0)
            for place in range(first, last):
                total += ordered[place]
            estimates[row, label] = total / np.float32(last - first)
