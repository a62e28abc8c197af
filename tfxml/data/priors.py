"""How frequent labels are before anything is known of an instance.

# L labels
"""

from __future__ import annotations

import numpy as np


def label_priors(label_counts: np.ndarray, num_instances: int) -> np.ndarray:
    """Returns the share of the instances that carry each label, [L].

    A label without a training instance is rare, not impossible: each gets half
    an occurrence, or less where so many labels are unseen that they would
    together outweigh those seen once (Good and Turing's estimate of what all of
    them occur).

    Args:
        label_counts: [L], in how many training instances each label occurs.
        num_instances: how many there are.
    """
    num_unseen = int((label_counts == 0).sum())
    num_once = max(int((label_counts == 1).sum()), 1)
    extra = min(0.5, num_once / max(num_unseen, 1))
    return (label_counts + extra) / (num_instances + 1)
