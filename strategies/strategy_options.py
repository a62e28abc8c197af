"""How replicas communicate and how variables are split. No TensorFlow."""

from __future__ import annotations

import dataclasses

from strategies import strategy_errors

# What `factory.create` can make.
NAMES = (
    "auto",
    "default",
    "one_device",
    "mirrored",
    "multi_worker",
    "parameter_server",
    "central_storage",
    "tpu",
)

REDUCTIONS = ("auto", "nccl", "hierarchical_copy", "one_device")
COLLECTIVES = ("auto", "ring", "nccl")
_PACKED = ("nccl", "hierarchical_copy")
_USERS = {
    "reduction": ("mirrored",),
    "num_packs": ("mirrored",),
    "collective": ("multi_worker",),
    "bytes_per_pack": ("multi_worker",),
    "timeout_seconds": ("multi_worker",),
    "connect_seconds": ("multi_worker", "parameter_server", "tpu"),
}


@dataclasses.dataclass(frozen=True)
class Communication:
    """How replicas add their gradients up, and how long they wait.

    Attributes:
        reduction: Of `mirrored`, one of `REDUCTIONS`; auto is NCCL on GPUs.
        num_packs: Of `mirrored` with nccl or hierarchical_copy: the number of
            pieces that the gradients are sent in.
        collective: Of `multi_worker`, one of `COLLECTIVES`.
        bytes_per_pack: Of `multi_worker`: the size of the pieces, 0 for auto.
        timeout_seconds: Of `multi_worker`: a collective that takes longer
            raises DeadlineExceededError. For debugging: each costs a thread.
        connect_seconds: Of `multi_worker`, `parameter_server` and a remote
            `tpu`: how long to wait for the others when the strategy is made.
    """

    reduction: str = "auto"
    num_packs: int = 1
    collective: str = "auto"
    bytes_per_pack: int = 0
    timeout_seconds: float | None = None
    connect_seconds: float = 600.0

    def __post_init__(self) -> None:
        strategy_errors.check_choice("reduction", self.reduction, REDUCTIONS)
        strategy_errors.check_at_least("num_packs", self.num_packs, 1)
        strategy_errors.check_choice("collective", self.collective, COLLECTIVES)
        strategy_errors.check_at_least("bytes_per_pack", self.bytes_per_pack, 0)
        if self.timeout_seconds is not None:
            strategy_errors.check_seconds(
                "timeout_seconds", self.timeout_seconds
            )
        strategy_errors.check_seconds("connect_seconds", self.connect_seconds)
        if self.num_packs > 1 and self.reduction not in _PACKED:
            needed = f"1 unless reduction is one of {', '.join(_PACKED)}"
            raise strategy_errors.StrategyError(
                "num_packs", needed, self.num_packs
            )

    def check_used_by(self, name: str) -> None:
        """Raises if an option is set that the strategy ignores."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default and name not in _USERS[field.name]:
                users = ", ".join(_USERS[field.name])
                needed = f"left alone for {name}: it is an option of {users}"
                raise strategy_errors.StrategyError(field.name, needed, value)


@dataclasses.dataclass(frozen=True)
class Partition:
    """How `parameter_server` splits variables along their first axis.

    Keras 3 layers cannot use a variable that was split: leave it out unless
    the model makes its tables of `tf.Variable`.

    Attributes:
        min_shard_bytes: No shard is smaller, unless it is the only one.
        max_shards: None for one shard on each parameter server.
    """

    min_shard_bytes: int = 256 << 10
    max_shards: int | None = None

    def __post_init__(self) -> None:
        strategy_errors.check_at_least(
            "min_shard_bytes", self.min_shard_bytes, 1
        )
        if self.max_shards is not None:
            strategy_errors.check_at_least("max_shards", self.max_shards, 1)
