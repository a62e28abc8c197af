"""What is known of a data set before its rows are wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tfxml.data import data_errors

# One piece of a split: the files that are read side by side.
Piece = tuple[str, ...]
Pieces = dict[str, tuple[Piece, ...]]  # of each split

# Returns the label names in a file beside the data; None without one.
ReadNames = Callable[[], list[str] | None]


@dataclasses.dataclass(frozen=True)
class Survey:
    """The sizes of a data set, and how its files are to be read."""

    num_features: int | None  # None for text
    num_labels: int
    # Rows of each piece, of the splits whose size is known.
    piece_sizes: dict[str, tuple[int, ...]]
    arguments: dict = dataclasses.field(default_factory=dict)  # of `read`
    label_names: tuple[str, ...] | None = None  # None: not in these files
    notes: tuple[str, ...] = ()  # what was decided, for a person


def of_headers(
    read_header: Callable[..., tuple[int, int | None, int]],
    pieces: Pieces,
    data_dir: str,
    **arguments,
) -> Survey:
    """Returns the survey of files whose headers say their sizes.

    Args:
        read_header: returns instances, features (None for text) and labels of
            a piece.
        pieces: the files.
        data_dir: what errors name if the headers disagree.
        arguments: of the format's `read`, beside the files.
    """
    headers = {
        split: [read_header(*piece) for piece in of_split]
        for split, of_split in pieces.items()
    }
    shapes = {
        split: sorted({header[1:] for header in of_split}, key=str)
        for split, of_split in headers.items()
    }
    distinct = {shape for of_split in shapes.values() for shape in of_split}
    if len(distinct) > 1:
        found = {
            split: shape[0] if len(shape) == 1 else tuple(shape)
            for split, shape in shapes.items()
        }
        raise data_errors.DataError(
            data_dir,
            f"(features, labels) of {found}",
            "the same in all splits",
        )
    num_features, num_labels = distinct.pop()
    sizes = {
        split: tuple(header[0] for header in of_split)
        for split, of_split in headers.items()
    }
    return Survey(num_features, num_labels, sizes, arguments)
