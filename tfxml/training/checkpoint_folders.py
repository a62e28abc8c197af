"""Which checkpoints lie in a folder; read without TensorFlow."""

from __future__ import annotations

import pathlib
import re

from tfxml.data import checked_files

META = "checkpoint.json"  # written last: a folder with it is complete
_NAME = re.compile(r"step_(\d{8,})")


def is_whole(found: pathlib.Path) -> bool:
    """Tells whether a folder holds a complete checkpoint."""
    return (found / META).is_file()


def read_meta(folder: pathlib.Path, step: int) -> dict:
    """Returns the metadata of a checkpoint; see `Checkpoints.save`.

    Raises:
        FileNotFoundError: if there is no such checkpoint.
        DataError: if it is damaged.
    """
    meta = path(folder, step) / META
    try:
        values = checked_files.read_sealed(meta)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no checkpoint {meta.parent}"
        ) from error
    with checked_files.reading(meta):
        checked_files.check_inside(meta, values["files"])
        _check(values)
    return values


def _check(values: dict) -> None:
    """Raises an error unless metadata say what is read of them."""
    numbers = [entry["step"] for entry in values["history"]]
    numbers += [entry["epoch"] for entry in values["history"]]
    if values["epoch"] is not None:
        numbers += [values["epoch"][name] for name in ("steps", "loss_sum")]
    is_right = all(isinstance(number, int | float) for number in numbers)
    if not is_right or not isinstance(values["is_best"], bool):
        raise ValueError(f"{values!r:.80}")


def latest_step(folder: pathlib.Path) -> int | None:
    """Returns the newest step of a folder, or None."""
    ascending = steps(folder)
    return ascending[-1] if ascending else None


def best_step(folder: pathlib.Path) -> int | None:
    """Returns the newest step marked best, or None."""
    best = [s for s in steps(folder) if read_meta(folder, s)["is_best"]]
    return best[-1] if best else None


def chosen_step(folder: pathlib.Path, which: str) -> int | None:
    """Returns a step: the `best`, the `latest`, or `auto`; or None.

    `auto` is the best if there is one.
    """
    best = best_step(folder)
    if which == "best" or (which == "auto" and best is not None):
        return best
    return latest_step(folder)


def steps(folder: pathlib.Path) -> list[int]:
    """Returns the steps of the complete checkpoints of a folder, ascending."""
    return sorted(step_of(p) for p in folders(folder) if is_whole(p))


def path(folder: pathlib.Path, step: int) -> pathlib.Path:
    """Returns the folder of a step's checkpoint."""
    return folder / f"step_{step:08d}"


def step_of(found: pathlib.Path) -> int:
    """Returns the step of a checkpoint's folder."""
    return int(found.name.removeprefix("step_"))


def folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the checkpoints of a folder, whole or not, in no order."""
    if not folder.is_dir():
        return []
    return [p for p in folder.iterdir() if _NAME.fullmatch(p.name)]
