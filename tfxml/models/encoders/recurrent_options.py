"""Options of the recurrent encoder."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from tfxml import options as options_lib
from tfxml.models import module_options

CELLS = ("gru", "lstm")


@dataclasses.dataclass(frozen=True)
class RecurrentOptions(module_options.ModuleOptions):
    """Options of the recurrent encoder."""

    gives_states: ClassVar[bool] = True

    recurrent_cell: str = options_lib.option(
        "gru", "Recurrent: the cell.", choices=CELLS
    )
    recurrent_units: int = options_lib.option(
        128, "Recurrent: units of each direction.", minimum=1
    )
    recurrent_layers: int = options_lib.option(
        1,
        "Recurrent: layers, each of two directions.",
        minimum=1,
        maximum=options_lib.MOST_PARTS,
    )
    recurrent_dropout: float = options_lib.option(
        0.3, "Recurrent: share of its outputs dropped in training.", minimum=0
    )

    @classmethod
    def check(cls, options: Any) -> None:
        """Raises ValueError for options under which it cannot be built."""
        options_lib.require(
            options.recurrent_dropout < 1,
            "recurrent_dropout",
            "below 1",
            options,
        )
