"""Encoders, from an instance to a vector: one file each, one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfxml.models import module_options, module_table
from tfxml.models.encoders import (
    backbone_options,
    bag_options,
    conv_options,
    joint_options,
    recurrent_options,
    transformer_options,
)

if TYPE_CHECKING:
    from tfxml.models import contract

_PLACES: dict[str, str] = {
    "bag": "bag_encoder.BagEncoder",
    "conv": "conv_encoder.ConvEncoder",
    "recurrent": "recurrent_encoder.RecurrentEncoder",
    "transformer": "transformer_encoder.TransformerEncoder",
    "joint": "joint_encoder.JointEncoder",
    "backbone": "backbone_encoder.BackboneEncoder",
    "dense_backbone": "backbone_encoder.DenseBackboneEncoder",
}
# Of those whose options lie in a file without TensorFlow.
_OPTIONS: dict[str, type[module_options.ModuleOptions]] = {
    "bag": bag_options.BagOptions,
    "conv": conv_options.ConvOptions,
    "recurrent": recurrent_options.RecurrentOptions,
    "transformer": transformer_options.TransformerOptions,
    "joint": joint_options.JointOptions,
    "backbone": backbone_options.BackboneOptions,
    "dense_backbone": backbone_options.BackboneOptions,
}
ENCODERS: module_table.ModuleTable[type[contract.Encoder]] = (
    module_table.ModuleTable(__name__, _PLACES, _OPTIONS)
)
