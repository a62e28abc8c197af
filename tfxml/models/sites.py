"""A module's site: what its shape depends on besides its options.

# L labels, D features, H units of an encoder
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfxml.data import priors

if TYPE_CHECKING:
    import scipy.sparse


@dataclasses.dataclass(frozen=True)
class Place:
    """The devices of a part of the model.

    Attributes:
        devices: one per replica, each with a copy of the part, in the order of
            the replicas; or a single one, whose copy all replicas share.
    """

    devices: tuple[str, ...]

    @property
    def _devices(self) -> tuple[str, ...]:
        """What MirroredStrategy asks for where variables are colocated."""
        return self.devices


def group_range(number: int, group: int, num_groups: int) -> range:
    """Returns the numbers of a group's encoders or repetitions."""
    size = number // num_groups
    return range(group * size, (group + 1) * size)


def spread(places: Sequence[Place], number: int) -> list[Place | None]:
    """Returns a place for each of so many things, in equal runs."""
    if not places:
        return [None] * number
    return [places[index * len(places) // number] for index in range(number)]


@dataclasses.dataclass(frozen=True)
class Site:
    """What a module's shape depends on besides its options.

    Attributes:
        num_labels: L.
        num_features: D of the data.
        num_train: training instances.
        num_tokens: one more than the largest token id; 0 without tokens.
        form: how rows are multiplied; see `row_forms.FORMS`.
        input_dim: what the head reads: the encoder's H, or D.
        is_linear: whether the head reads the rows themselves.
        backbone: the file of a Keras model, in place of `options.backbone`.
        reads_states: whether it reads the states of a text's words.
        label_counts: [L], in how many training instances each label occurs;
            None where weights are restored.
        label_pairs: [L, L] sparse, in how many training instances each two
            labels occur, for heads that say `reads_pairs`; None likewise.
        dropped: ids of labels that are never answered.
        group, num_groups: which group of repetitions is trained here.
        encoder_places, head_places: where to spread the encoders and the head's
            blocks; none: anywhere.
        seed: of the initial weights and the dropout.
        hash_seed: of the hashes of labels and features.
        inverse_propensity: from the shares of the instances with each output,
            [B], to the inverse propensities, [B].
    """

    num_labels: int
    num_features: int
    num_train: int = 0
    num_tokens: int = 0
    seed: int = 0
    hash_seed: int = 0
    form: str = "compact"
    input_dim: int = 0
    is_linear: bool = False
    reads_states: bool = False
    backbone: str = ""
    label_counts: np.ndarray | None = None
    label_pairs: scipy.sparse.csr_matrix | None = None
    dropped: Sequence[int] | np.ndarray = ()
    group: int = 0
    num_groups: int = 1
    encoder_places: tuple[Place, ...] = ()
    head_places: tuple[Place, ...] = ()
    inverse_propensity: Callable[[np.ndarray], np.ndarray] | None = None

    def group_range(self, number: int) -> range:
        """Returns the numbers of this group's encoders or repetitions."""
        return group_range(number, self.group, self.num_groups)

    def block_places(self, number: int) -> list[Place | None]:
        """Returns a place for each of the head's blocks.

        Raises:
            ValueError: if a place would have none.
        """
        if number < len(self.head_places):
            raise ValueError(
                f"`model_devices` must leave each device a block of the head, "
                f"which has {number}: a repetition of MACH, or "
                "label_block_size labels. Received: "
                f"{len(self.head_places)} devices"
            )
        return spread(self.head_places, number)

    def seeds_of(self, numbers: range) -> list[int]:
        """Returns a seed per encoder or repetition, independent of others."""
        return [self.seed * 100003 + number for number in numbers]

    def label_priors(self) -> np.ndarray | None:
        """Returns the fraction of instances with each label, [L]."""
        if self.label_counts is None:
            return None
        return priors.label_priors(self.label_counts, self.num_train)
