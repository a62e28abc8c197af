"""Options of the asymmetric loss."""

from __future__ import annotations

import dataclasses

from tfxml import options as options_lib
from tfxml.models import module_options


@dataclasses.dataclass(frozen=True)
class AsymmetricOptions(module_options.ModuleOptions):
    """Options of the asymmetric loss."""

    asymmetric_gamma_on: float = options_lib.option(
        0.0,
        "Asymmetric loss: how much less a label counts that is found already.",
        minimum=0,
    )
    asymmetric_gamma_off: float = options_lib.option(
        4.0,
        "Asymmetric loss: how much less an output counts that is off and "
        "unlikely already.",
        minimum=0,
    )
    asymmetric_margin: float = options_lib.option(
        0.05,
        "Asymmetric loss: outputs that are off and have a probability below "
        "this cost nothing.",
        minimum=0,
    )
