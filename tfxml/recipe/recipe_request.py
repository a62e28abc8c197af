"""What is asked of a recipe; known before TensorFlow is imported."""

from __future__ import annotations

import dataclasses

from tfxml import config as config_lib

_FREE_GROUPS = ("data", "reading", "text", "run")
# All options that a recipe may choose: those of model and training.
CHOSEN = frozenset(
    field.name
    for title, group in config_lib.GROUPS.items()
    if title not in _FREE_GROUPS
    for field in dataclasses.fields(group)
)


@dataclasses.dataclass(frozen=True)
class Request:
    """What a chosen recipe must keep to.

    Attributes:
        given: names of options that are not to be chosen.
        seconds: that the trial and training may take, about.
        bytes: that the weights may take in training; 0: half of the memory.
    """

    given: frozenset[str] = frozenset()
    seconds: float = 300.0
    bytes: int = 0

    def check(self, config: config_lib.Config) -> None:
        """Raises ValueError for a config that no recipe can be made of."""
        usual = config_lib.Config()
        if (config.encoder, config.loss) != (usual.encoder, usual.loss):
            raise ValueError(
                "`recipe` must be none for another encoder than bag or another "
                "loss than sigmoid_cross_entropy. Received: recipe=auto, "
                f"encoder={config.encoder!r}, loss={config.loss!r}"
            )
