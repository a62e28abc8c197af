"""Options of Huber's loss."""

from __future__ import annotations

import dataclasses

from tfxml import options as options_lib
from tfxml.models import module_options


@dataclasses.dataclass(frozen=True)
class HuberOptions(module_options.ModuleOptions):
    """Options of Huber's loss."""

    huber_delta: float = options_lib.option(
        1.0,
        "Huber loss: the distance beyond which it is linear.",
        minimum=1e-6,
    )
