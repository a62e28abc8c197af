"""Learners that take no gradient steps, by the head whose weights they find.

A head that learns in one pass has a solver here: a function of the head, the
training split, the options and a function to call between pieces of work.
"""

from __future__ import annotations

from collections.abc import Callable

from tfxml.models import contract
from tfxml.models.heads import centroid
from tfxml.training.solvers import centroids

SOLVERS: dict[type[contract.Head], Callable] = {
    centroid.CentroidHead: centroids.solve,
}
