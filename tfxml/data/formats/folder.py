"""Recognises a data set by the names of its files, and reads its splits."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

import numpy as np

from tfxml.data import bad_rows as bad_rows_lib
from tfxml.data import data_errors, instances
from tfxml.data.formats import (
    chosen_rows,
    detection,
    filter_labels,
    folder_files,
    format_table,
    hf_datasets,
    names_beside,
    other_ids,
    piece_rows,
    read_options,
    surveys,
    tfds_folder,
)
from tfxml.data.records import record_files


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

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of "dev", "test" and "train" that are here, in that order."""
        return tuple(sorted(self.pieces))

    @property
    def split_paths(self) -> dict[str, tuple[str, ...]]:
        """The files of each split."""
        return {
            split: tuple(path for piece in of_split for path in piece)
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
        if self.label_map is None:
            return runs
        return (other_ids.replace(run, self.label_map) for run in runs)

    def count_rows(self, split: str) -> int:
        """Returns a split's rows, bad ones included."""
        number = self.num_instances(split)
        return sum(self._sizes(split)) if number is None else number

    def label_names(self) -> list[str] | None:
        """Returns the labels' names; None where no file has them."""
        if self.names is not None:
            return list(self.names)
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


def detect(
    data_dir: str, options: read_options.ReadOptions = read_options.DEFAULTS
) -> Folder:
    """Returns the data set in a folder, or the one that a file is.

    Sizes come from the files' headers. Files without one are read through, so
    that this is best done once.

    Args:
        data_dir: the folder or file.
        options: how it is read; prepared data have settled that already.

    Raises:
        DataError: if there is no data set of the format, or more than one.
        ValueError: for an option that is none of the format's.
    """
    files = folder_files.listed(data_dir)
    if {record_files.MANIFEST, record_files.PLAN} & set(files):
        return _prepared_folder(data_dir)
    if tfds_folder.INFO in files and hf_datasets.STATE not in files:
        num_features, num_labels, sizes = tfds_folder.read_shape(data_dir)
        shape = num_features, num_labels
        return _described(data_dir, "tfds", tfds_folder.INFO, shape, sizes)
    name, pieces = detection.find(data_dir, files, options)

    def read_names():
        path = names_beside.find(data_dir)
        return names_beside.read(path) if path else None

    survey = format_table.FORMATS[name].survey(
        pieces, data_dir, options, read_names
    )
    folder = Folder(
        data_dir,
        name,
        survey.num_features,
        survey.num_labels,
        pieces,
        survey.piece_sizes,
        survey.arguments,
        survey.label_names,
        survey.notes,
    )
    return _cut(folder, options) if options.test_fraction else folder


def _prepared_folder(data_dir: str) -> Folder:
    manifest = record_files.read_manifest(data_dir)
    sizes = {
        split: facts["num_instances"]
        for split, facts in manifest["splits"].items()
    }
    shape = manifest["num_features"], manifest["num_labels"]
    return _described(data_dir, "records", record_files.MANIFEST, shape, sizes)


def _described(
    data_dir: str,
    format: str,
    name: str,
    shape: tuple[int, int],
    sizes: dict[str, int],
) -> Folder:
    """Returns a folder one of whose files says all."""
    path = os.path.join(data_dir, name)
    pieces: surveys.Pieces = {split: ((path,),) for split in sizes}
    piece_sizes: dict[str, tuple[int, ...]] = {
        split: (size,) for split, size in sizes.items()
    }
    return Folder(data_dir, format, *shape, pieces, piece_sizes)


def _cut(folder: Folder, options: read_options.ReadOptions) -> Folder:
    """Returns the data set with a share of its rows as the test split."""
    if "test" in folder.splits:
        raise ValueError(
            "`test_fraction` must be 0 for data that have a test split. "
            f"Received: test_fraction={options.test_fraction} with "
            f"{folder.path}"
        )
    train, test = chosen_rows.hold_out(
        folder.path,
        folder.count_rows("train"),
        options.test_fraction,
        options.split_seed,
    )
    pieces = folder.pieces | {"test": folder.pieces["train"]}
    sizes = folder.piece_sizes
    if "train" in sizes:
        sizes = sizes | {"test": sizes["train"]}
    return dataclasses.replace(
        folder,
        pieces=pieces,
        piece_sizes=sizes,
        chosen={"train": train, "test": test},
        notes=(
            *folder.notes,
            f"{len(test):,} of {len(train) + len(test):,} rows are held out "
            "as the test split",
        ),
    )
