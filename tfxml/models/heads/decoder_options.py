"""Options of the head that writes labels one after another."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from tfxml import options as options_lib
from tfxml.models import module_options


@dataclasses.dataclass(frozen=True)
class DecoderOptions(module_options.ModuleOptions):
    """Options of the head that writes labels one after another."""

    reads_states: ClassVar[bool] = True
    models_sets: ClassVar[bool] = True

    decoder_units: int = options_lib.option(
        128, "Decoder: width of its states.", minimum=1
    )
    decoder_layers: int = options_lib.option(
        1, "Decoder: layers.", minimum=1, maximum=options_lib.MOST_PARTS
    )
    decoder_heads: int = options_lib.option(
        4, "Decoder: attention heads; must divide decoder_units.", minimum=1
    )
    decoder_labels: int = options_lib.option(
        16,
        "Decoder: the most labels that it writes; of larger sets it learns the "
        "most frequent.",
        minimum=1,
    )

    @classmethod
    def check(cls, options: Any) -> None:
        """Raises ValueError for options under which it cannot be built."""
        options_lib.require(
            options.decoder_units % options.decoder_heads == 0,
            "decoder_heads",
            f"a divisor of decoder_units={options.decoder_units}",
            options,
        )
