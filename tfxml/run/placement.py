"""Which of a head's repetitions are trained where."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tfxml import config as config_lib
from tfxml.models import heads


@dataclasses.dataclass(frozen=True)
class Placement:
    """Which of MACH's repetitions are trained here, and on which devices.

    Attributes:
        group, num_groups: the share `group` of `num_groups` of the repetitions,
            with encoders of their own; nothing is exchanged between groups.
        devices: the repetitions are spread evenly over them; none: anywhere.
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
        """The group's own folder in the run's; '' where there is one group."""
        if self.num_groups == 1:
            return ""
        return f"repetition_group_{self.group}_of_{self.num_groups}"

    def check(
        self, config: config_lib.Config, strategy: tf.distribute.Strategy
    ) -> None:
        """Raises unless the repetitions can be trained apart like this."""
        pieces = self.num_groups * max(len(self.devices), 1)
        if pieces == 1:
            return
        needed = None
        num_pieces = heads.HEADS[config.head].num_pieces(config)
        if num_pieces == 1:
            needed = (
                "used with a head of several encoders (head=mach, and "
                "num_encoders above 1), whose repetitions train apart"
            )
        elif num_pieces % pieces:
            needed = (
                f"such that {pieces} divides the {num_pieces} pieces in which "
                "the head can be trained apart (see num_encoders: repetitions "
                "that share an encoder train together)"
            )
        elif config.reranker_passes:
            needed = (
                "used without reranker_passes, whose candidates need them all"
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
