"""Options of the CorNet head."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tfxml import options as options_lib
from tfxml.models.heads import base_options


@dataclasses.dataclass(frozen=True)
class CorNetOptions(base_options.BaseOptions):
    """Options of the CorNet head."""

    needs_encoder: ClassVar[bool] = False

    cornet_units: int = options_lib.option(
        100, "CorNet: units of the bottleneck between labels.", minimum=1
    )
    cornet_blocks: int = options_lib.option(
        2,
        "CorNet: corrections, one after another.",
        minimum=1,
        maximum=options_lib.MOST_PARTS,
    )
    cornet_candidates: int = options_lib.option(
        4096,
        "CorNet: with more labels than this, only so many of the base's best "
        "are corrected.",
        minimum=1,
    )
