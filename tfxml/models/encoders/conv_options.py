"""Options of the convolutional encoder."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from tfxml import options as options_lib
from tfxml.models import module_options


@dataclasses.dataclass(frozen=True)
class ConvOptions(module_options.ModuleOptions):
    """Options of the convolutional encoder."""

    gives_states: ClassVar[bool] = True

    conv_filters: int = options_lib.option(
        128, "Conv: filters of each width.", minimum=1
    )
    conv_widths: tuple[int, ...] = options_lib.option(
        (2, 3, 4), "Conv: widths of the filters in words, comma-separated."
    )
    conv_dropout: float = options_lib.option(
        0.5, "Conv: share of its outputs dropped in training.", minimum=0
    )

    @classmethod
    def check(cls, options: Any) -> None:
        """Raises ValueError for options under which it cannot be built."""
        require = options_lib.require
        require(options.conv_dropout < 1, "conv_dropout", "below 1", options)
        require(
            bool(options.conv_widths)
            and all(width >= 1 for width in options.conv_widths),
            "conv_widths",
            "positive widths, at least one",
            options,
        )
