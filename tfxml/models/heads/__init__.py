"""Heads, the output layers that score labels: one file each, one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfxml.models import module_options, module_table
from tfxml.models.heads import (
    centroid_options,
    chain_options,
    cornet_options,
    decoder_options,
    graph_options,
    label_attention_options,
    mach_options,
    sigmoid_options,
)

if TYPE_CHECKING:
    from tfxml.models import contract

_PLACES: dict[str, str] = {
    "sigmoid": "sigmoid.SigmoidHead",
    "mach": "mach_head.MachHead",
    "centroid": "centroid.CentroidHead",
    "cornet": "cornet.CorNetHead",
    "chain": "chain.ChainHead",
    "graph": "graph.GraphHead",
    "label_attention": "label_attention.LabelAttentionHead",
    "decoder": "decoder.DecoderHead",
}
# Of those whose options lie in a file without TensorFlow.
_OPTIONS: dict[str, type[module_options.ModuleOptions]] = {
    "sigmoid": sigmoid_options.SigmoidOptions,
    "mach": mach_options.MachOptions,
    "centroid": centroid_options.CentroidOptions,
    "cornet": cornet_options.CorNetOptions,
    "chain": chain_options.ChainOptions,
    "graph": graph_options.GraphOptions,
    "label_attention": label_attention_options.LabelAttentionOptions,
    "decoder": decoder_options.DecoderOptions,
}
HEADS: module_table.ModuleTable[type[contract.Head]] = module_table.ModuleTable(
    __name__, _PLACES, _OPTIONS
)
