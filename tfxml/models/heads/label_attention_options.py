"""Options of the head with an attention vector a label."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tfxml import options as options_lib
from tfxml.models import module_options


@dataclasses.dataclass(frozen=True)
class LabelAttentionOptions(module_options.ModuleOptions):
    """Options of the head with an attention vector a label."""

    reads_states: ClassVar[bool] = True

    label_attention_gib: float = options_lib.option(
        8.0,
        "Label attention: the most memory, in GiB, that a training step may "
        "take for the attention of all labels: 24 bytes for each instance of "
        "--batch_size, word of --max_tokens and label.",
        minimum=0,
    )
