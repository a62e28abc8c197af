"""Encoders, from an instance to a vector: one file each, one line here."""

from __future__ import annotations

from tfxml.models import contract
from tfxml.models.encoders import (
    bag_encoder,
    conv_encoder,
    joint_encoder,
    recurrent_encoder,
    transformer_encoder,
)

ENCODERS: dict[str, type[contract.Encoder]] = {
    "bag": bag_encoder.BagEncoder,
    "conv": conv_encoder.ConvEncoder,
    "recurrent": recurrent_encoder.RecurrentEncoder,
    "transformer": transformer_encoder.TransformerEncoder,
    "joint": joint_encoder.JointEncoder,
}
