"""Options of the encoders that a Keras file holds."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfxml import options as options_lib
from tfxml.models import module_options


@dataclasses.dataclass(frozen=True)
class BackboneOptions(module_options.ModuleOptions):
    """Options of the encoders that a Keras file holds."""

    backbone: str = options_lib.option(
        "",
        "Backbone: a Keras model, as a .keras file or a folder that holds one. "
        "Only take it from those you trust.",
        is_path=True,
    )
    backbone_trained: bool = options_lib.option(
        True, "Backbone: whether its weights are trained further."
    )
    backbone_dropout: float = options_lib.option(
        0.1, "Backbone: share of its outputs dropped in training.", minimum=0
    )

    @classmethod
    def check(cls, options: Any) -> None:
        """Raises ValueError for options under which it cannot be built."""
        require = options_lib.require
        require(
            bool(options.backbone),
            "backbone",
            f"a Keras model's file with encoder={options.encoder}",
            options,
        )
        require(
            options.backbone_dropout < 1, "backbone_dropout", "below 1", options
        )
        require(
            options.pooling != "attention",
            "pooling",
            f"max, mean or cls with encoder={options.encoder}",
            options,
        )
