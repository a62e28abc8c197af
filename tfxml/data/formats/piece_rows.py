"""Reads the pieces of a split one after the other, whole or some rows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from tfxml.data import bad_rows, instances
from tfxml.data.formats import chosen_rows, surveys


def read(
    read_piece: Callable[..., Iterator[instances.Run]],
    pieces: tuple[surveys.Piece, ...],
    count_rows: Callable[[], tuple[int, ...]],
    chosen: np.ndarray | None,
    bad: bad_rows.BadRows,
    wanted: range | None,
) -> Iterator[instances.Run]:
    """Yields the runs of the rows that are wanted.

    Args:
        read_piece: reads a piece; takes what to do about bad rows and the
            rows wanted, None: all.
        pieces: those of the split.
        count_rows: returns the rows of each piece; called if need be.
        chosen: the rows of all pieces, ascending, that the split has; None:
            all.
        bad: what to do about bad rows.
        wanted: a run of the split's rows; all of them if None.
    """
    if chosen is not None:
        yield from _read_chosen(
            read_piece,
            zip(pieces, count_rows(), strict=True),
            chosen if wanted is None else chosen[wanted.start : wanted.stop],
            bad,
        )
    elif wanted is None:
        for piece in pieces:
            yield from read_piece(piece, bad, None)
    elif len(pieces) == 1:
        yield from read_piece(pieces[0], bad, wanted)
    else:
        first = 0
        for piece, size in zip(pieces, count_rows(), strict=True):
            start = min(max(wanted.start - first, 0), size)
            stop = min(max(wanted.stop - first, 0), size)
            if start < stop:
                yield from read_piece(piece, bad, range(start, stop))
            first += size


def _read_chosen(
    read_piece: Callable[..., Iterator[instances.Run]],
    sized_pieces: Iterator[tuple[surveys.Piece, int]],
    chosen: np.ndarray,
    bad: bad_rows.BadRows,
) -> Iterator[instances.Run]:
    first = 0
    for piece, size in sized_pieces:
        edges = np.searchsorted(chosen, [first, first + size])
        if edges[0] < edges[1]:
            yield from chosen_rows.read(
                functools.partial(read_piece, piece, wanted=None),
                chosen[slice(*edges)] - first,
                bad,
            )
        first += size
