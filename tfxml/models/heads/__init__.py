"""Heads, the output layers that score labels: one file each, one line here."""

from __future__ import annotations

from tfxml.models import contract
from tfxml.models.heads import (
    centroid,
    chain,
    cornet,
    graph,
    mach_head,
    sigmoid,
)

HEADS: dict[str, type[contract.Head]] = {
    "sigmoid": sigmoid.SigmoidHead,
    "mach": mach_head.MachHead,
    "centroid": centroid.CentroidHead,
    "cornet": cornet.CorNetHead,
    "chain": chain.ChainHead,
    "graph": graph.GraphHead,
}
