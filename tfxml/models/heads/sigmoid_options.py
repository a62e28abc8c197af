"""Options of the sigmoid head."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tfxml import options as options_lib
from tfxml.models import module_options


@dataclasses.dataclass(frozen=True)
class SigmoidOptions(module_options.ModuleOptions):
    """Options of the sigmoid head."""

    needs_encoder: ClassVar[bool] = False

    label_block_size: int = options_lib.option(
        16384, "Sigmoid: labels computed at once.", minimum=1
    )
