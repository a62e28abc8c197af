"""What `python -m tfxml.calibrate` finds, as a run directory keeps it."""

from __future__ import annotations

import dataclasses
import pathlib

from tfxml.data import atomic_files, checked_files
from tfxml.evaluation import thresholds as thresholds_lib
from tfxml.models import calibration as calibration_lib
from tfxml.run import manifest

NAME = "calibration.json"


@dataclasses.dataclass(frozen=True)
class FittedScores:
    """Calibration and thresholds of the weights of one step.

    Attributes:
        step: of the weights.
        calibration: of the scores; None: as the model gives them.
        thresholds: of the calibrated scores.
        report: what was measured when they were fitted.
    """

    step: int
    calibration: calibration_lib.Calibration | None
    thresholds: thresholds_lib.Thresholds
    report: dict

    def write(self, folder: str | pathlib.Path) -> None:
        """Writes the file of a run directory."""
        values = dataclasses.asdict(self)
        # JSON has strings alone as keys.
        values["thresholds"]["of_labels"] = [
            [label, limit] for label, limit in self.thresholds.of_labels.items()
        ]
        atomic_files.remove_leftovers(folder, NAME)
        checked_files.write_sealed(pathlib.Path(folder) / NAME, values)
        manifest.note(pathlib.Path(folder), NAME)


def remove(folder: str | pathlib.Path) -> None:
    """Makes a run one that was never calibrated, whatever its file holds."""
    manifest.forget(pathlib.Path(folder), NAME)
    (pathlib.Path(folder) / NAME).unlink(missing_ok=True)


def read(folder: str | pathlib.Path) -> FittedScores | None:
    """Returns what a run directory holds, or None if it never was calibrated.

    Raises:
        DataError: if the file is damaged, or gone.
    """
    path = pathlib.Path(folder) / NAME
    try:
        values = checked_files.read_sealed(path)
    except FileNotFoundError:
        manifest.check_never_there(
            pathlib.Path(folder),
            NAME,
            "what calibrating wrote; `python -m tfxml.calibrate "
            f"--workdir={folder} --remove` takes calibration back",
        )
        return None
    with checked_files.reading(path, "what calibrating writes"):
        return _parsed(values)


def _parsed(values: dict) -> FittedScores:
    """Returns what the object of a file says.

    Raises:
        ValueError, TypeError, LookupError or AttributeError: if it says
            something else.
    """
    of_scores = values["calibration"]
    if of_scores is not None:
        of_scores = calibration_lib.Calibration(
            **{
                **of_scores,
                "knots": tuple(of_scores["knots"]),
                "values": tuple(of_scores["values"]),
            }
        )
    limits = values["thresholds"]
    of_labels = {int(label): float(one) for label, one in limits["of_labels"]}
    report = values["report"]
    numbers = [report[when]["ECE@5"] for when in ("before", "after")]
    if not all(
        isinstance(n, int | float) for n in [*numbers, report["num_rows"]]
    ):
        raise ValueError(f"{report!r:.80}")
    return FittedScores(
        int(values["step"]),
        of_scores,
        thresholds_lib.Thresholds(float(limits["default"]), of_labels),
        {**report, "objective": str(report["objective"])},
    )


def of_step(
    folder: str | pathlib.Path, step: int
) -> tuple[FittedScores | None, str]:
    """Returns what was fitted to the weights of a step, or why it is not.

    Raises:
        DataError: if the file is damaged.
    """
    fitted = read(folder)
    if fitted is None or fitted.step == step:
        return fitted, ""
    return None, (
        f"calibration of step {fitted.step} is not that of the weights of "
        f"step {step}, and is not applied: run `python -m tfxml.calibrate "
        f"--workdir={folder}` again"
    )
