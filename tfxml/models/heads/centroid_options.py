"""Options of the centroid head."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from tfxml import options as options_lib
from tfxml.models import module_options


@dataclasses.dataclass(frozen=True)
class CentroidOptions(module_options.ModuleOptions):
    """Options of the centroid head."""

    needs_encoder: ClassVar[bool] = False

    centroid_features: int = options_lib.option(
        200,
        "Centroid: weights kept per label on average; the largest of all "
        "labels are kept.",
        minimum=1,
    )
    centroid_labels: int = options_lib.option(
        500,
        "Centroid: the most labels kept per feature. Frequent features cost "
        "time and say little.",
        minimum=1,
    )
    centroid_power: float = options_lib.option(
        1.0,
        "Centroid: the sum of a label's positives is divided by this power of "
        "its length. 1: cosines; smaller: frequent labels rank higher.",
        minimum=0,
    )

    @classmethod
    def check(cls, options: Any) -> None:
        """Raises ValueError for rows or epochs that it does not have."""
        options_lib.require(
            not options.early_stopping,
            "early_stopping",
            "0 with a head that learns in one pass, after the last epoch",
            options,
        )
        options_lib.require(
            options.form == "auto",
            "form",
            "auto with head=centroid, which reads rows as they come (and so "
            "not on a TPU, whose shapes are static)",
            options,
        )
