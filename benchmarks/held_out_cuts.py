"""Cuts of training splits, and planted sets, in folders that can be trained on.

A cut has three splits, all drawn from the training split alone: `train`, `dev`
to tune and to calibrate on, `test` to report. The real test splits stay unseen.
"""

from __future__ import annotations

import gzip
import json
import pathlib
import shutil

import numpy as np

from tfxml.data.synthetic import planted_sets

PLANTED = ("planted-order", "planted-dependent", "planted-independent")
_SPLITS = ("train", "dev", "test")
_PAIRS = 10  # of words whose order tells the label


def write(
    name: str,
    source: pathlib.Path,
    output: pathlib.Path,
    sizes: tuple[int, int, int],
    seed: int = 0,
) -> None:
    """Writes a cut.

    Args:
        name: one of `PLANTED`, or a folder of `source`.
        source: where the real sets are.
        output: a folder that is made.
        sizes: rows of train, dev and test.
        seed: of which rows are drawn.
    """
    output.mkdir(parents=True)
    if name == "planted-order":
        _write_order(output, sizes, seed)
    elif name in PLANTED:
        for split, rows in planted_rows(name, sizes, seed).items():
            _write_sets(output / f"{split}.txt", rows)
    elif (source / name / "trn.json.gz").exists():
        _cut_json(source / name, output, sizes, seed)
    else:
        _cut_rows(source / name, output, sizes, seed)


def _runs(number: int, sizes: tuple[int, ...], seed: int) -> list[np.ndarray]:
    """Returns the rows of each split, drawn without replacement."""
    if sum(sizes) > number:
        raise ValueError(
            f"`sizes` must add up to at most {number:,} rows. Received: "
            f"sizes={sizes}"
        )
    order = np.random.default_rng(seed).permutation(number)
    return np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])


def _cut_json(source, output, sizes, seed) -> None:
    with gzip.open(source / "trn.json.gz") as file:
        lines = file.readlines()
    runs = _runs(len(lines), sizes, seed)
    for split, rows in zip(_SPLITS, runs, strict=True):
        with gzip.open(output / f"{split}.json.gz", "wb", 1) as file:
            file.writelines(lines[row] for row in rows)
    shutil.copy(source / "lbl.json.gz", output)


def _cut_rows(source, output, sizes, seed) -> None:
    header, *lines = (source / "train.txt").read_text().splitlines()
    widths = " ".join(header.split()[1:])
    runs = _runs(len(lines), sizes, seed)
    for split, rows in zip(_SPLITS, runs, strict=True):
        chosen = [f"{len(rows)} {widths}", *(lines[row] for row in rows), ""]
        (output / f"{split}.txt").write_text("\n".join(chosen))


def _write_order(output, sizes, seed) -> None:
    """Writes texts with a pair of words, whose order tells the label."""
    rng = np.random.default_rng(seed)
    others = [f"word{number}" for number in range(50)]
    for split, number in zip(_SPLITS, sizes, strict=True):
        with open(output / f"{split}.jsonl", "w") as file:
            for _ in range(number):
                pair, order = rng.integers(_PAIRS), rng.integers(2)
                words = [f"left{pair}", f"right{pair}"][:: 1 - 2 * order]
                before, after = rng.choice(others, (2, 4))
                text = " ".join([*before, *words, *after])
                row = {"text": text, "labels": [f"label{2 * pair + order}"]}
                file.write(json.dumps(row) + "\n")


def planted_rows(
    name: str, sizes: tuple[int, int, int], seed: int = 0
) -> dict[str, planted_sets.PlantedRows]:
    """Returns the rows of each split of a planted set with known sets."""
    model = planted_sets.PlantedSets(is_dependent=name == "planted-dependent")
    return {
        split: model.rows(number, seed=len(_SPLITS) * seed + place)
        for place, (split, number) in enumerate(
            zip(_SPLITS, sizes, strict=True)
        )
    }


def _write_sets(path: pathlib.Path, rows: planted_sets.PlantedRows) -> None:
    number, num_features = rows.features.shape
    lines = [f"{number} {num_features} {rows.labels.shape[1]}"]
    for labels, x in zip(rows.labels, rows.features, strict=True):
        cells = zip(x.indices, x.data, strict=True)
        words = " ".join(f"{place}:{value:g}" for place, value in sorted(cells))
        names = ",".join(map(str, sorted(labels.indices)))
        lines.append(f"{names} {words}")
    path.write_text("\n".join([*lines, ""]))
