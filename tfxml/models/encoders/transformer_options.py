"""Options of the transformer encoder."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from tfxml import options as options_lib
from tfxml.models import module_options

POSITIONS = ("sinusoidal", "learnt", "none")


@dataclasses.dataclass(frozen=True)
class TransformerOptions(module_options.ModuleOptions):
    """Options of the transformer encoder."""

    gives_states: ClassVar[bool] = True

    transformer_layers: int = options_lib.option(
        2, "Transformer: layers.", minimum=1, maximum=options_lib.MOST_PARTS
    )
    transformer_heads: int = options_lib.option(
        4, "Transformer: attention heads; must divide word_dim.", minimum=1
    )
    transformer_units: int = options_lib.option(
        256, "Transformer: width of the feed-forward layers.", minimum=1
    )
    transformer_dropout: float = options_lib.option(
        0.1,
        "Transformer: share of each sub-layer's outputs dropped in training.",
        minimum=0,
    )
    positions: str = options_lib.option(
        "sinusoidal",
        "Transformer: what tells words their places. none: it reads a bag.",
        choices=POSITIONS,
    )

    @classmethod
    def check(cls, options: Any) -> None:
        """Raises ValueError for options under which it cannot be built."""
        require = options_lib.require
        require(
            options.transformer_dropout < 1,
            "transformer_dropout",
            "below 1",
            options,
        )
        require(
            options.word_dim % options.transformer_heads == 0,
            "transformer_heads",
            f"a divisor of word_dim={options.word_dim}",
            options,
        )
