"""What a sweep does; can be checked without TensorFlow."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

from tfxml import config as config_lib
from tfxml.sweeping import search_space

TRAIN = (sys.executable, "-m", "tfxml.train")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a sweep does.

    Attributes:
        base: the recipe of what is not searched for.
        space: what is.
        data_dir: the folder of the data set; empty: the generated one.
        num_trials: how many there shall be in the end, pruned ones included.
        num_processes: how many at once.
        is_pruning: whether poor trials are cut short.
        command: what trains a recipe.
    """

    base: config_lib.Config
    space: search_space.Space
    data_dir: str = ""
    num_trials: int = 20
    num_processes: int = 1
    is_pruning: bool = True
    command: Sequence[str] = TRAIN

    def check(self) -> None:
        """Raises ValueError for a recipe whose trials would see test rows."""
        base = self.base
        if not base.validation_fraction and base.eval_split != "dev":
            raise ValueError(
                "`validation_fraction` must be above 0, or `eval_split` dev: "
                "a sweep never looks at a test split. Received: "
                f"validation_fraction={base.validation_fraction}, "
                f"eval_split={base.eval_split}"
            )
        search_space.check(base, self.space)
