"""Options of the bag encoder."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfxml import options as options_lib
from tfxml.models import module_options


@dataclasses.dataclass(frozen=True)
class BagOptions(module_options.ModuleOptions):
    """Options of the bag encoder."""

    hidden_units: tuple[int, ...] = options_lib.option(
        (256,),
        "Widths of the hidden layers, comma-separated. Empty: a linear model.",
    )
    dropout: float = options_lib.option(
        0.5, "Share of hidden units dropped in training.", minimum=0
    )
    feature_dropout: float = options_lib.option(
        0.0,
        "Share of an instance's features that the bag encoder does not see in "
        "training.",
        minimum=0,
    )
    residual: bool = options_lib.option(
        False, "Add a hidden layer's input to its output where widths agree."
    )
    table_shards: int = options_lib.option(
        1,
        "Variables that hold the first layer's table, for parameter servers "
        "or model_devices to share.",
        minimum=1,
        maximum=options_lib.MOST_PARTS,
    )
    feature_buckets: int = options_lib.option(
        0,
        "Hash features into this many before the first layer; each encoder "
        "has its own hash. 0: do not hash.",
        minimum=0,
    )

    @classmethod
    def check(cls, options: Any) -> None:
        """Raises ValueError for options under which it cannot be built."""
        require = options_lib.require
        require(options.dropout < 1, "dropout", "below 1", options)
        require(
            options.feature_dropout < 1, "feature_dropout", "below 1", options
        )
        require(
            all(units >= 1 for units in options.hidden_units),
            "hidden_units",
            "positive widths",
            options,
        )
        require(
            not options.feature_buckets or bool(options.hidden_units),
            "feature_buckets",
            "0 for a linear model",
            options,
        )

    @classmethod
    def passes_rows(cls, options: Any) -> bool:
        """Tells whether there is no encoder: a model without hidden layers."""
        return not options.hidden_units
