"""Solvers compute a head's weights in one pass, without gradients.

`SOLVERS` maps a head to its solver: a function of the head, the training split,
the options, and a function to call between groups of labels (which may stop the
run).
"""

from __future__ import annotations

from collections.abc import Callable

from tfxml.models import contract
from tfxml.models.heads import centroid
from tfxml.training.solvers import centroids

SOLVERS: dict[type[contract.Head], Callable] = {
    centroid.CentroidHead: centroids.solve,
}
