"""Options of the sampled softmax."""

from __future__ import annotations

import dataclasses

from tfxml import options as options_lib
from tfxml.models import module_options


@dataclasses.dataclass(frozen=True)
class SampledSoftmaxOptions(module_options.ModuleOptions):
    """Options of the sampled softmax."""

    sampled_labels: int = options_lib.option(
        1024,
        "Sampled softmax: labels drawn for a step beside those of the batch. "
        "With no more labels than that, all are taken.",
        minimum=1,
    )
