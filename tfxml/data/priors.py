"""Prior probabilities of labels.

# L labels
"""

from __future__ import annotations

import numpy as np


def label_priors(label_counts: np.ndarray, num_instances: int) -> np.ndarray:
    """Returns the fraction of instances with each label, smoothed, [L].

    A label without a training instance is rare, not impossible: each label
    gets half an occurrence, or less if the unseen labels would together
    outweigh those seen once (the Good-Turing estimate of the unseen mass).

    Args:
        label_counts: [L], in how many training instances each label occurs.
        num_instances: the number of training instances.
    """
    num_unseen = int((label_counts == 0).sum())
    num_once = max(int((label_counts == 1).sum()), 1)
    pseudo_count = min(0.5, num_once / max(num_unseen, 1))
    return (label_counts + pseudo_count) / (num_instances + 1)
