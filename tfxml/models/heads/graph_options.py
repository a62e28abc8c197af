"""Options of the graph head."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tfxml import options as options_lib
from tfxml.models.heads import base_options


@dataclasses.dataclass(frozen=True)
class GraphOptions(base_options.BaseOptions):
    """Options of the graph head."""

    needs_encoder: ClassVar[bool] = False

    graph_neighbours: int = options_lib.option(
        16, "Graph: the most neighbours of a label.", minimum=1
    )
    graph_candidates: int = options_lib.option(
        4096,
        "Graph: with more labels than this, only so many of the base's best "
        "are smoothed.",
        minimum=1,
    )
