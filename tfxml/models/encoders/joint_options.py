"""Options of the encoder of bag and sequence."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfxml import options as options_lib
from tfxml.models import module_options
from tfxml.models.encoders import (
    bag_options,
    conv_options,
    recurrent_options,
    transformer_options,
)

_SEQUENCES: dict[str, type[module_options.ModuleOptions]] = {
    "conv": conv_options.ConvOptions,
    "recurrent": recurrent_options.RecurrentOptions,
    "transformer": transformer_options.TransformerOptions,
}


@dataclasses.dataclass(frozen=True)
class JointOptions(module_options.ModuleOptions):
    """Options of the encoder of bag and sequence."""

    joint_sequence: str = options_lib.option(
        "conv",
        "Joint: the encoder of sequences that stands beside the bag; both have "
        "their own options.",
        choices=tuple(_SEQUENCES),
    )

    @classmethod
    def check(cls, options: Any) -> None:
        """Raises ValueError for options under which it cannot be built."""
        options_lib.require(
            bool(options.hidden_units),
            "hidden_units",
            "at least one width with encoder=joint",
            options,
        )
        bag_options.BagOptions.check(options)
        _SEQUENCES[options.joint_sequence].check(options)
