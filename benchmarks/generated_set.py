"""Writes a data set of a given size as CSR arrays, in bounded memory.

    python benchmarks/generated_set.py --output=data/generated --gigabytes=5

Writes X.trn.npz and Y.trn.npz as SciPy saves them, and a test split of a
hundredth of the size. Features and labels are Zipf-like and independent: the
set measures the pipeline, not accuracy.
"""

from __future__ import annotations

import os
import pathlib
import zipfile

import numpy as np
from absl import app, flags

_OUTPUT = flags.DEFINE_string("output", "", "The folder that is written.")
_GIGABYTES = flags.DEFINE_float("gigabytes", 5, "Size of X.trn.npz.")
_FEATURES = flags.DEFINE_integer("features", 500_000, "D.")
_LABELS = flags.DEFINE_integer("labels", 100_000, "L.")
_EACH = flags.DEFINE_integer("features_each", 100, "Mean features of a row.")
_LABELS_EACH = 4

_ROWS_AT_ONCE = 20_000  # rows at a time


def _splits(num_rows: int, mean: int, seed: int) -> np.ndarray:
    lengths = np.random.default_rng(seed).integers(1, 2 * mean, num_rows)
    return np.concatenate([[0], np.cumsum(lengths)])


def _ids(rng, lengths: np.ndarray, limit: int) -> np.ndarray:
    """Returns ascending ids for each row, small ones most often."""
    starts = np.cumsum(lengths) - lengths
    # Sorted uniforms are partial sums of exponentials over their total.
    sums = np.cumsum(rng.standard_exponential(lengths.sum()))
    sums_before = np.concatenate([[0], sums])[starts]
    totals = sums[starts + lengths - 1] - sums_before
    totals += rng.standard_exponential(len(lengths))
    uniforms = (sums - np.repeat(sums_before, lengths)) / np.repeat(
        totals, lengths
    )
    offsets = np.arange(len(sums)) - np.repeat(starts, lengths)
    num_free = limit - np.repeat(lengths, lengths)
    return (num_free**uniforms).astype(np.int64) - 1 + offsets


def _write(path, num_rows, num_columns, mean, seed, with_values) -> None:
    splits = _splits(num_rows, mean, seed)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, True) as archive:
        for name, array in (
            ("format", np.array(b"csr")),
            ("shape", np.array([num_rows, num_columns], np.int64)),
            ("indptr", splits),
        ):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        for name, dtype in (("indices", np.int32), ("data", np.float32)):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {
                    "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
                    "fortran_order": False,
                    "shape": (int(splits[-1]),),
                }
                np.lib.format.write_array_header_1_0(file, header)
                rng = np.random.default_rng([seed, 1])
                for first in range(0, num_rows, _ROWS_AT_ONCE):
                    lengths = np.diff(splits[first : first + _ROWS_AT_ONCE + 1])
                    if name == "indices":
                        column = _ids(rng, lengths, num_columns)
                    elif with_values:
                        column = rng.random(lengths.sum())
                    else:
                        column = np.ones(lengths.sum())
                    file.write(column.astype(dtype).tobytes())


def main(_) -> None:
    if not _OUTPUT.value:
        raise app.UsageError("--output must be given")
    folder = pathlib.Path(_OUTPUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    num_train = int(_GIGABYTES.value * 1e9 / (8 * _EACH.value + 8))
    for split, num_rows, seed in (
        ("trn", num_train, 0),
        ("tst", num_train // 100, 1),
    ):
        x, y = (folder / f"{side}.{split}.npz" for side in "XY")
        _write(x, num_rows, _FEATURES.value, _EACH.value, seed, True)
        _write(y, num_rows, _LABELS.value, _LABELS_EACH, seed + 10, False)
        print(f"{x}: {num_rows:,} rows, {os.path.getsize(x):,} bytes")


if __name__ == "__main__":
    app.run(main)
