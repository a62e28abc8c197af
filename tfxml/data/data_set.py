"""The interface of data sets, on disk or in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from tfxml.data import bad_rows, instances


class DataSet(Protocol):
    """Splits of instances: a `data_folder.Folder` or an `arrays.ArrayData`."""

    @property
    def path(self) -> str:
        """Its location, for messages."""

    @property
    def format(self) -> str:
        """The name of its format."""

    @property
    def num_features(self) -> int | None:
        """D; None for text."""

    @property
    def num_labels(self) -> int:
        """L."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks of the reader for the user."""

    @property
    def has_titles(self) -> bool:
        """Whether titles are read beside other text."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of "dev", "test" and "train" that it has, in that order."""

    def read(
        self,
        split: str,
        bad: bad_rows.BadRows | None = None,
        wanted: range | None = None,
    ) -> Iterator[instances.AnyInstances]:
        """Yields the runs of a split's instances; of `wanted` rows, or all."""

    def count_rows(self, split: str) -> int:
        """Returns how many rows a split has, bad ones included."""

    def label_names(self) -> list[str] | None:
        """Returns the names of the labels; None where they have none."""

    def has_pairs(self, split: str) -> bool:
        """Tells whether some pairs of a row and a label are not scored."""

    def filter_pairs(self, split: str) -> np.ndarray | None:
        """Returns those pairs, [P, 2]; None where there are none."""
