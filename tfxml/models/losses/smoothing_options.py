"""Options of label smoothing."""

from __future__ import annotations

import dataclasses

from tfxml import options as options_lib
from tfxml.models import module_options


@dataclasses.dataclass(frozen=True)
class LabelSmoothingOptions(module_options.ModuleOptions):
    """Options of label smoothing."""

    label_smoothing: float = options_lib.option(
        0.1,
        "Label smoothing: the share of a target that is the frequency of the "
        "label.",
        minimum=0,
    )
