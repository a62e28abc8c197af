"""Options of the chain head."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tfxml import options as options_lib
from tfxml.models.heads import base_options


@dataclasses.dataclass(frozen=True)
class ChainOptions(base_options.BaseOptions):
    """Options of the chain head."""

    models_sets: ClassVar[bool] = True

    chain_units: int = options_lib.option(
        64, "Chain: units that remember the labels decided so far.", minimum=1
    )
    chain_candidates: int = options_lib.option(
        64,
        "Chain: with more labels than this, sets are made of so many of the "
        "base's best.",
        minimum=1,
    )
    chain_l1: float = options_lib.option(
        0.2,
        "Chain: L1 penalty of what labels hear of labels, over the square root "
        "of the number of training instances. More of it, and labels are "
        "nearer to independent.",
        minimum=0,
    )
