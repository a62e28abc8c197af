"""Which repetitions of a head are trained, and where the model lies."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tfxml import config as config_lib
from tfxml.models import heads, sites

if TYPE_CHECKING:
    import tensorflow as tf

WIDTH = "width"  # encoders, table shards and blocks over all devices
LAYERS = "layers"  # encoders on the first device, the head on the others
REPLICAS = "replicas"  # encoders in each replica, the head's blocks over them
PARTITIONS = WIDTH, LAYERS, REPLICAS


@dataclasses.dataclass(frozen=True)
class Placement:
    """Which of MACH's repetitions are trained here, and on which devices.

    Attributes:
        group, num_groups: train group `group` of `num_groups` groups of
            repetitions. Groups have their own encoders and exchange nothing.
        devices: to spread the model over; none: it lies where the strategy
            puts it. With several replicas an equal run for each.
        partition: how the model is spread, one of `PARTITIONS`.
    """

    group: int = 0
    num_groups: int = 1
    devices: tuple[str, ...] = ()
    partition: str = WIDTH

    def __post_init__(self):
        if not 0 <= self.group < self.num_groups:
            raise ValueError(
                "`repetition_group` must be i/G with 0 <= i < G. "
                f"Received: repetition_group={self.group}/{self.num_groups}"
            )
        if self.partition not in PARTITIONS:
            raise ValueError(
                f"`model_partition` must be one of {PARTITIONS}. "
                f"Received: model_partition={self.partition}"
            )

    @property
    def folder(self) -> str:
        """The subfolder of the group in the run directory; '' for one group."""
        if self.num_groups == 1:
            return ""
        return f"repetition_group_{self.group}_of_{self.num_groups}"

    def encoder_places(
        self, strategy: tf.distribute.Strategy
    ) -> tuple[sites.Place, ...]:
        """Returns the places of encoders, and of the shards of a table."""
        places = self._places(strategy)
        if self.partition == LAYERS:
            return places[:1]
        return () if self.partition == REPLICAS else places

    def head_places(
        self, strategy: tf.distribute.Strategy
    ) -> tuple[sites.Place, ...]:
        """Returns the places of the head's blocks."""
        places = self._places(strategy)
        return places[1:] if self.partition == LAYERS else places

    def _places(
        self, strategy: tf.distribute.Strategy
    ) -> tuple[sites.Place, ...]:
        if self.partition == REPLICAS:
            return tuple(
                sites.Place((device,))
                for device in strategy.extended.worker_devices
            )
        size = len(self.devices) // strategy.num_replicas_in_sync
        return tuple(
            sites.Place(self.devices[number::size]) for number in range(size)
        )

    def check_group(self, config: config_lib.Config) -> None:
        """Raises ValueError unless groups of repetitions can train apart."""
        if self.num_groups == 1:
            return
        needed = None
        num_pieces = heads.HEADS[config.head].num_pieces(config)
        if num_pieces == 1:
            needed = (
                "used with a head whose repetitions can be trained apart: "
                "head=mach with num_encoders above 1"
            )
        elif num_pieces % self.num_groups:
            needed = (
                f"such that {self.num_groups} divides {num_pieces}, the number "
                "of parts of the head that can be trained apart (see "
                "num_encoders: repetitions that share an encoder stay together)"
            )
        elif config.reranker_passes:
            needed = (
                "used without reranker_passes: candidates need all repetitions"
            )
        elif config.global_clipnorm:
            needed = "used without global_clipnorm, a norm over all repetitions"
        if needed:
            raise ValueError(
                f"`repetition_group` must be {needed}. "
                f"Received: repetition_group={self.group}/{self.num_groups}"
            )


EVERYWHERE = Placement()
