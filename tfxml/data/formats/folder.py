"""Recognises a data set by the file names in its folder."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator

import numpy as np

from tfxml.data import bad_rows, data_errors, instances
from tfxml.data.formats import (
    csr_npz,
    filter_labels,
    json_lines,
    label_names,
    tfds_folder,
    xc_splits,
    xc_text,
    xy_sparse,
)
from tfxml.data.records import record_files

_SPLITS = {
    "dev": "dev|valid|val|validation",
    "test": "test|tst",
    "train": "train|trn",
}

# As the repository's index files, which share one data file, call them.
_INDEX_NAMES = {"dev": "val", "test": "tst", "train": "tr"}

# The files of one split, as patterns; SPLIT stands for any of its names.
_PATTERNS = {
    "xc_text": (r"(?!filter_labels_)(?:.*[_-])?SPLIT\.txt(?:\.gz)?",),
    "xc_splits": (
        r"(?:.*[_-])?data\.txt(?:\.gz)?",
        r"(?:.*[_-])?INDEX_NAMESplit\.txt(?:\.gz)?",
    ),
    "xy_sparse": (
        r"SPLIT_X_Xf\.txt(?:\.gz)?",
        r"SPLIT_X_Y\.txt(?:\.gz)?",
    ),
    "csr_npz": (r"(?:tfidf[^/]*/)?X\.SPLIT\.npz", r"Y\.SPLIT\.npz"),
    "json_lines": (r"SPLIT(?:\.raw)?\.jsonl?(?:\.gz)?",),
}
_FILTER_PATTERN = r"filter_labels_SPLIT\.txt(?:\.gz)?"
_LABEL_OBJECTS_PATTERN = r"lbl(?:\.raw)?\.jsonl?(?:\.gz)?"
_LABEL_NAMES_PATTERN = r"(?:labels|Yf|output-items)\.txt(?:\.gz)?"

_UNDERSTOOD = """\
xc_text: train.txt, test.txt (or eurlex_train.txt and the like); \
xc_splits: Bibtex_data.txt with bibtex_trSplit.txt, bibtex_tstSplit.txt; \
xy_sparse: trn_X_Xf.txt with trn_X_Y.txt, tst_X_Xf.txt with tst_X_Y.txt; \
csr_npz: X.trn.npz (or tfidf-attnxml/X.trn.npz) with Y.trn.npz, the same for \
tst; json_lines: trn.json.gz, tst.json.gz with lbl.json.gz. Text may be gzip, \
a third split is dev"""


class NoFormatError(data_errors.DataError):
    """A folder holds the files of no format."""


@dataclasses.dataclass(frozen=True)
class Folder:
    """A data set on disk: its format, its sizes and its splits."""

    path: str
    # "xc_text", "xc_splits", "xy_sparse", "csr_npz", "json_lines",
    # "records" or "tfds"
    format: str
    num_features: int | None  # None for text
    num_labels: int
    split_paths: dict[str, tuple[str, ...]]  # the files of each split
    split_sizes: dict[str, int]  # of splits whose files say it in front

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of "dev", "test" and "train" that are here, in that order."""
        return tuple(sorted(self.split_paths))

    def num_instances(self, split: str) -> int | None:
        """Returns a split's size; None where only reading it all would say."""
        self._check_split(split)
        return self.split_sizes.get(split)

    def read(
        self,
        split: str,
        bad: bad_rows.BadRows | None = None,
        wanted: range | None = None,
    ) -> Iterator[instances.Instances] | Iterator[instances.TextInstances]:
        """Returns the runs of a split's instances.

        Args:
            split: one of `splits`.
            bad: what to do about bad rows; None: raise.
            wanted: a run of rows; all of them if None.
        """
        self._check_split(split)
        paths = self.split_paths[split]
        if self.format == "records":
            raise ValueError(
                "`folder` must hold data that is not prepared; prepared rows "
                f"are read by RecordSource. Received: folder={self.path}"
            )
        if self.format == "tfds":
            return tfds_folder.read(self.path, split, bad, wanted)
        if self.format == "json_lines":
            return json_lines.read(
                *paths, num_labels=self.num_labels, bad=bad, wanted=wanted
            )
        return _SPARSE_READERS[self.format].read(*paths, bad=bad, wanted=wanted)

    def count_rows(self, split: str) -> int:
        """Returns a split's rows, bad ones and blank last lines included."""
        number = self.num_instances(split)
        if number is not None:
            return number
        return json_lines.count_rows(*self.split_paths[split])

    def label_names(self) -> list[str] | None:
        """Returns the labels' names; None where no file has them."""
        files = _list_files(self.path)
        objects = _only_match(self.path, files, _LABEL_OBJECTS_PATTERN)
        lines = _only_match(self.path, files, _LABEL_NAMES_PATTERN)
        if objects:
            found = json_lines.read_names(objects)
        elif lines:
            found = label_names.read(lines)
        else:
            return None
        if len(found) != self.num_labels:
            raise data_errors.DataError(
                objects or lines,
                f"{len(found)} names",
                f"{self.num_labels}, one for each label",
            )
        return found

    def files_beside(self) -> list[str]:
        """Returns the files of label names and of pairs not scored."""
        files = _list_files(self.path)
        patterns = [_LABEL_OBJECTS_PATTERN, _LABEL_NAMES_PATTERN]
        patterns += [_of_split(_FILTER_PATTERN, s) for s in self.splits]
        found = [_only_match(self.path, files, p) for p in patterns]
        return [path for path in found if path]

    def filter_pairs(self, split: str) -> np.ndarray | None:
        """Returns (row, label) to leave out, [P, 2]; None without a file."""
        path = self._pairs_path(split)
        if path is None:
            return None
        pairs = filter_labels.read(path)
        for name, column, limit in (
            ("row", 0, self.num_instances(split)),
            ("label", 1, self.num_labels),
        ):
            highest = pairs[:, column].max(initial=-1)
            if limit is not None and highest >= limit:
                raise data_errors.DataError(
                    path, f"{name} {highest}", f"{name}s in [0, {limit})"
                )
        return pairs

    def has_pairs(self, split: str) -> bool:
        """Tells whether there is a file of pairs to leave out."""
        return self._pairs_path(split) is not None

    def _pairs_path(self, split: str) -> str | None:
        self._check_split(split)
        pattern = _of_split(_FILTER_PATTERN, split)
        return _only_match(self.path, _list_files(self.path), pattern)

    def _check_split(self, split: str) -> None:
        if split not in self.split_paths:
            raise ValueError(
                f"`split` must be one of {self.splits}. Received: {split=}"
            )


_SPARSE_READERS = {
    "xc_text": xc_text,
    "xc_splits": xc_splits,
    "xy_sparse": xy_sparse,
    "csr_npz": csr_npz,
}


def detect(data_dir: str, format: str | None = None) -> Folder:
    """Returns the data set in a folder.

    The sizes come from the files' headers. Text has none: its labels are
    counted in lbl.json.gz; without that file every split is read through, and
    the number of labels is the highest id plus one.

    Args:
      data_dir: the folder.
      format: which to take where the folder holds several.

    Raises:
      DataError: if there is no data set of that format, or more than one.
    """
    if format is not None and format not in _PATTERNS:
        raise ValueError(
            f"`format` must be one of {tuple(_PATTERNS)}. Received: {format=}"
        )
    files = _list_files(data_dir)
    if {record_files.MANIFEST, record_files.PLAN} & set(files):
        return _prepared_folder(data_dir)
    if tfds_folder.INFO in files:
        return _tfds_folder(data_dir)
    by_format = {
        name: split_paths
        for name in ([format] if format else _PATTERNS)
        if (split_paths := _find_splits(data_dir, files, name))
    }
    if not by_format:
        raise NoFormatError(
            data_dir, _listing(files), f"the files of a format. {_UNDERSTOOD}"
        )
    if len(by_format) > 1:
        raise data_errors.DataError(
            data_dir,
            f"{' and '.join(by_format)} among {_listing(files)}",
            "one format, or `format` to say which",
        )
    ((found, split_paths),) = by_format.items()
    if found == "json_lines":
        num_labels = _count_labels(data_dir, files, split_paths)
        return Folder(data_dir, found, None, num_labels, split_paths, {})
    return _sparse_folder(data_dir, found, split_paths)


def _prepared_folder(data_dir: str) -> Folder:
    manifest = record_files.read_manifest(data_dir)
    path = os.path.join(data_dir, record_files.MANIFEST)
    return Folder(
        data_dir,
        "records",
        manifest["num_features"],
        manifest["num_labels"],
        {split: (path,) for split in manifest["splits"]},
        {
            split: facts["num_instances"]
            for split, facts in manifest["splits"].items()
        },
    )


def _tfds_folder(data_dir: str) -> Folder:
    num_features, num_labels, sizes = tfds_folder.read_shape(data_dir)
    path = os.path.join(data_dir, tfds_folder.INFO)
    return Folder(
        data_dir,
        "tfds",
        num_features,
        num_labels,
        {split: (path,) for split in sizes},
        sizes,
    )


def _sparse_folder(
    data_dir: str, format: str, split_paths: dict[str, tuple[str, ...]]
) -> Folder:
    """Returns the folder of sparse features, whose splits must agree."""
    headers = {
        split: _SPARSE_READERS[format].read_header(*paths)
        for split, paths in split_paths.items()
    }
    shapes = {split: header[1:] for split, header in headers.items()}
    if len(set(shapes.values())) > 1:
        raise data_errors.DataError(
            data_dir,
            f"(features, labels) of {shapes}",
            "the same in all splits",
        )
    num_features, num_labels = next(iter(shapes.values()))
    sizes = {split: header[0] for split, header in headers.items()}
    return Folder(
        data_dir, format, num_features, num_labels, split_paths, sizes
    )


def _count_labels(
    data_dir: str, files: list[str], split_paths: dict[str, tuple[str, ...]]
) -> int:
    path = _only_match(data_dir, files, _LABEL_OBJECTS_PATTERN)
    if path:
        num_labels = len(json_lines.read_names(path))
    else:
        highest = (
            run.label_ids.max(initial=-1)
            for paths in split_paths.values()
            for run in json_lines.read(*paths)
        )
        num_labels = 1 + int(max(highest, default=-1))
    if not num_labels:
        raise data_errors.DataError(path or data_dir, "no label", "one or more")
    return num_labels


def _find_splits(
    data_dir: str, files: list[str], format: str
) -> dict[str, tuple[str, ...]]:
    """Returns the paths of each split that is there in a format."""
    found = {}
    for split in _SPLITS:
        patterns = [_of_split(p, split) for p in _PATTERNS[format]]
        paths = [_only_match(data_dir, files, p) for p in patterns]
        if None not in paths:
            found[split] = tuple(paths)
        elif any(paths[1:] if format == "xc_splits" else paths):
            raise data_errors.DataError(
                data_dir,
                f"{next(filter(None, paths))} without its pair",
                f"both files of {split}. {_UNDERSTOOD}",
            )
    return found


def _of_split(pattern: str, split: str) -> str:
    pattern = pattern.replace("INDEX_NAME", _INDEX_NAMES[split])
    return pattern.replace("SPLIT", f"(?:{_SPLITS[split]})")


def _only_match(data_dir: str, files: list[str], pattern: str) -> str | None:
    """Returns the path of the one file whose name matches, None without."""
    matches = [file for file in files if re.fullmatch(pattern, file)]
    if len(matches) > 1:
        raise data_errors.DataError(
            data_dir, f"{' and '.join(matches)}", "only one of them"
        )
    return os.path.join(data_dir, matches[0]) if matches else None


def _list_files(data_dir: str) -> list[str]:
    """Returns names in the folder and, as PECOS has them, in tfidf folders."""
    found = []
    for name in sorted(os.listdir(data_dir)):
        path = os.path.join(data_dir, name)
        if not os.path.isdir(path):
            found.append(name)
        elif name.startswith("tfidf"):
            found += sorted(f"{name}/{inner}" for inner in os.listdir(path))
    return found


def _listing(files: list[str]) -> str:
    """Returns the first names in a folder, for a message."""
    if not files:
        return "no file"
    more = f" and {len(files) - 12} more" if len(files) > 12 else ""
    return ", ".join(files[:12]) + more
