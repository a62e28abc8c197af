"""Options of the focal loss."""

from __future__ import annotations

import dataclasses

from tfxml import options as options_lib
from tfxml.models import module_options


@dataclasses.dataclass(frozen=True)
class FocalOptions(module_options.ModuleOptions):
    """Options of the focal loss."""

    focal_gamma: float = options_lib.option(
        2.0,
        "Focal loss: how much less an output counts that is right already. "
        "0: sigmoid cross-entropy.",
        minimum=0,
    )
