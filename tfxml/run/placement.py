"""Which repetitions of a head are trained, and on which devices."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tfxml import config as config_lib
from tfxml.models import heads

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Placement:
    """Which of MACH's repetitions are trained here, and on which devices.

    Attributes:
        group, num_groups: train group `group` of `num_groups` groups of
            repetitions. Groups have their own encoders and exchange nothing.
        devices: to spread the repetitions over evenly; none: anywhere.
    """

    group: int = 0
    num_groups: int = 1
    devices: tuple[str, ...] = ()

    def __post_init__(self):
        if not 0 <= self.group < self.num_groups:
            raise ValueError(
                "`repetition_group` must be i/G with 0 <= i < G. "
                f"Received: repetition_group={self.group}/{self.num_groups}"
            )

    @property
    def folder(self) -> str:
        """The subfolder of the group in the run directory; '' for one group."""
        if self.num_groups == 1:
            return ""
        return f"repetition_group_{self.group}_of_{self.num_groups}"

    def check(
        self, config: config_lib.Config, strategy: tf.distribute.Strategy
    ) -> None:
        """Raises ValueError unless the repetitions can be split like this."""
        num_ways = self.num_groups * max(len(self.devices), 1)
        if num_ways == 1:
            return
        needed = None
        num_parts = heads.HEADS[config.head].num_pieces(config)
        if num_parts == 1:
            needed = (
                "used with a head whose repetitions can be trained apart: "
                "head=mach with num_encoders above 1"
            )
        elif num_parts % num_ways:
            needed = (
                f"such that {num_ways} divides {num_parts}, the number of "
                "parts of the head that can be trained apart (see "
                "num_encoders: repetitions that share an encoder stay together)"
            )
        elif config.reranker_passes:
            needed = (
                "used without reranker_passes: candidates need all repetitions"
            )
        elif self.num_groups > 1 and config.global_clipnorm:
            needed = "used without global_clipnorm, a norm over all repetitions"
        elif self.devices and strategy.num_replicas_in_sync > 1:
            needed = "used with one replica"
        if needed:
            raise ValueError(
                f"`repetition_group` and `repetition_devices` must be "
                f"{needed}. "
                f"Received: repetition_group={self.group}/{self.num_groups}, "
                f"repetition_devices={','.join(self.devices) or 'none'}"
            )


EVERYWHERE = Placement()
