"""Labels' estimates from the terms of their buckets.

# N instances, L labels, R repetitions, T buckets of all worlds
"""

from __future__ import annotations

import numpy as np

from tfxml import compiled


@compiled.loop
def means(terms, buckets, estimates):
    """Writes the labels' mean terms.

    Args:
        terms: [N, T].
        buckets: [R, L] unsigned integers: in each world each label's bucket,
            among those of all worlds.
        estimates: [N, L].
    """
    num_worlds = len(buckets)
    share = np.float32(1 / num_worlds)
    for row in range(len(estimates)):
        own = estimates[row]
        own[:] = 0
        for world in range(num_worlds):
            some, of_labels = terms[row], buckets[world]
            for label in range(len(own)):
                own[label] += some[of_labels[label]]
        for label in range(len(own)):
            own[label] *= share


@compiled.loop
def middles(terms, buckets, first, last, estimates):
    """Writes the means of the labels' terms of the ranks [first, last).

    The least has rank 0. The arguments are else those of `means`.
    """
    num_worlds = len(buckets)
    ordered = np.empty(num_worlds, np.float32)
    for row in range(len(estimates)):
        for label in range(buckets.shape[1]):
            for world in range(num_worlds):
                term = terms[row, buckets[world, label]]
                place = world
                while place and ordered[place - 1] > term:
                    ordered[place] = ordered[place - 1]
                    place -= 1
                ordered[place] = term
            total = np.float32(0)
            for place in range(first, last):
                total += ordered[place]
            estimates[row, label] = total / np.float32(last - first)
