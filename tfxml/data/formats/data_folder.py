"""A data set on disk, as `folder.detect` finds it: its sizes and its splits."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from tfxml.data import bad_rows as bad_rows_lib
from tfxml.data import data_errors, instances
from tfxml.data.formats import (
    dense_beside,
    detection,
    filter_labels,
    folder_files,
    format_table,
    names_beside,
    other_ids,
    piece_rows,
    surveys,
    tfds_folder,
)


@dataclasses.dataclass(frozen=True)
class Folder:
    """A data set on disk: its format, its sizes and its splits."""

    path: str  # the folder, or the one file
    format: str  # of format_table.FORMATS, or "records" or "tfds"
    num_features: int | None  # None for text
    num_labels: int
    pieces: surveys.Pieces
    piece_sizes: dict[str, tuple[int, ...]]  # of splits where they are known
    arguments: dict = dataclasses.field(default_factory=dict)  # of `read`
    names: tuple[str, ...] | None = None  # of labels; None: a file has them
    notes: tuple[str, ...] = ()  # what was decided, for a person
    # The rows of its pieces that a split has, where it was cut from another.
    chosen: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    label_map: np.ndarray | None = None  # see with_labels
    dense: dict[str, str] = dataclasses.field(default_factory=dict)
    num_dense: int = 0  # of the features; see dense_beside

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of "dev", "test" and "train" that are here, in that order."""
        return tuple(sorted(self.pieces))

    @property
    def split_paths(self) -> dict[str, tuple[str, ...]]:
        """The files of each split."""
        return {
            split: tuple(
                itertools.chain(
                    *of_split, [self.dense[split]] if self.dense else []
                )
            )
            for split, of_split in self.pieces.items()
        }

    @property
    def split_sizes(self) -> dict[str, int]:
        """The sizes of the splits where they are known."""
        sizes = {split: sum(of) for split, of in self.piece_sizes.items()}
        return sizes | {split: len(rows) for split, rows in self.chosen.items()}

    @property
    def has_weights(self) -> bool:
        """Whether a column holds the weights of the instances."""
        columns = self.arguments.get("columns")
        return columns is not None and bool(columns.weight)

    @property
    def has_titles(self) -> bool:
        """Whether titles are read beside other text."""
        columns = self.arguments.get("columns")
        return columns is not None and columns.has_title

    def num_instances(self, split: str) -> int | None:
        """Returns a split's size; None where only reading it all would say."""
        self._check_split(split)
        return self.split_sizes.get(split)

    def read(
        self,
        split: str,
        bad: bad_rows_lib.BadRows | None = None,
        wanted: range | None = None,
    ) -> Iterator[instances.AnyInstances]:
        """Returns the runs of a split's instances.

        Args:
            split: one of `splits`.
            bad: what to do about bad rows; None: raise.
            wanted: a run of rows; all of them if None.
        """
        self._check_split(split)
        if self.format == "records":
            raise ValueError(
                "`folder` must hold data that is not prepared; prepared rows "
                f"are read by RecordSource. Received: folder={self.path}"
            )
        bad = bad or bad_rows_lib.BadRows()
        runs: Iterator[instances.AnyInstances]
        if self.format == "tfds":
            runs = tfds_folder.read(self.path, split, bad, wanted)
        else:
            runs = piece_rows.read(
                self._read_piece,
                self.pieces[split],
                lambda: self._sizes(split),
                self.chosen.get(split),
                bad,
                wanted,
            )
        if self.dense and self.num_features is not None:
            runs = dense_beside.append(
                runs,
                self.dense[split],
                self._row_numbers(split, wanted),
                self.num_features - self.num_dense,
                bad,
            )
        if self.label_map is None:
            return runs
        return (other_ids.replace(run, self.label_map) for run in runs)

    def count_rows(self, split: str) -> int:
        """Returns a split's rows, bad ones included."""
        number = self.num_instances(split)
        return sum(self._sizes(split)) if number is None else number

    def label_names(self) -> list[str] | None:
        """Returns the labels' names; None where no file has them."""
        names = self._all_names
        return None if names is None else list(names)

    @functools.cached_property
    def _all_names(self) -> Sequence[str] | None:
        """The same, read once: each split that is text asks for them."""
        if self.names is not None:
            return self.names
        path = names_beside.find(self.path)
        if path is None:
            return None
        names = names_beside.read(path)
        if len(names) != self.num_labels:
            raise data_errors.DataError(
                path,
                f"{len(names)} names",
                f"{self.num_labels}, one for each label",
            )
        return names

    def with_labels(self, names: list[str]) -> Folder:
        """Returns the data set with label ids that are places in `names`.

        So a folder whose labels have another order is read with the ids of a
        run. Labels that are not in `names` are left out of the rows, and a
        note counts them.

        Raises:
            DataError: if the labels have no names here.
        """
        here = self.label_names()
        if here is None:
            raise data_errors.DataError(
                self.path, "labels without names", "a file of their names"
            )
        if here == names:
            return self
        label_map = other_ids.find(here, names)
        notes = self.notes
        if missing := int((label_map < 0).sum()):
            notes += (
                f"{missing:,} labels are left out: no label of the run "
                "has their names",
            )
        if self.label_map is not None:
            label_map = np.append(label_map, -1)[self.label_map]
        return dataclasses.replace(
            self,
            num_labels=len(names),
            names=tuple(names),
            notes=notes,
            label_map=label_map,
        )

    def files_beside(self) -> list[str]:
        """Returns the files of label names and of pairs not scored."""
        paths = [names_beside.find(self.path)]
        paths += [self._pairs_path(split) for split in self.splits]
        return [path for path in paths if path]

    def filter_pairs(self, split: str) -> np.ndarray | None:
        """Returns (row, label) to leave out, [P, 2]; None without a file."""
        path = self._pairs_path(split)
        if path is None:
            return None
        label_map = self.label_map
        if label_map is None:
            label_map = np.arange(self.num_labels)
        limits = self.count_rows(split), len(label_map)
        rows, labels = filter_labels.read(path, limits).T
        labels = label_map[labels]
        return np.stack([rows, labels], 1)[labels >= 0]

    def has_pairs(self, split: str) -> bool:
        """Tells whether there is a file of pairs to leave out."""
        return self._pairs_path(split) is not None

    def _pairs_path(self, split: str) -> str | None:
        self._check_split(split)
        return folder_files.only_match(
            self.path,
            folder_files.listed(self.path),
            folder_files.of_split(folder_files.FILTER, split),
        )

    def _row_numbers(self, split: str, wanted: range | None) -> np.ndarray:
        """Returns which rows of a split's files those wanted are."""
        rows = self.chosen.get(split)
        if rows is None:
            rows = np.arange(self.count_rows(split))
        return rows if wanted is None else rows[wanted.start : wanted.stop]

    def _read_piece(self, piece, bad, wanted) -> Iterator:
        module = format_table.FORMATS[self.format]
        return module.read(*piece, **self.arguments, bad=bad, wanted=wanted)

    def _sizes(self, split: str) -> tuple[int, ...]:
        """Returns the rows of each piece of a split, counted if need be."""
        if split in self.piece_sizes:
            return self.piece_sizes[split]
        module = format_table.FORMATS[self.format]
        return tuple(module.count_rows(*p) for p in self.pieces[split])

    def _check_split(self, split: str) -> None:
        if split not in self.pieces:
            raise data_errors.DataError(
                self.path,
                f"data of {' and '.join(self.splits)} alone",
                f"data of {split} too" + detection.example(self.format),
            )
