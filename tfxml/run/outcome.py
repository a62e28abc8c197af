"""What the end of a run says: its figures beside others, what comes next."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
from collections.abc import Mapping, Sequence

from tfxml.evaluation import tables
from tfxml.run import remote
from tfxml.run import workdir as workdir_lib
from tfxml.training import checkpoint_folders

_RUN, _RESULT = "run.json", "result.json"


def last_run(
    workdir: workdir_lib.Workdir,
) -> dict[str, dict[str, float]]:
    """Returns the last other result on the same data beside a run, by name.

    Only folders beside that of the run are looked at; empty: there is none.
    """
    data = workdir.read_fingerprint()
    results = [
        path
        for path in _results(workdir.path.absolute().parent)
        if path.parent.name != workdir.path.name
    ]
    for path in sorted(results, key=_changed, reverse=True):
        try:
            run = json.loads((path.parent / _RUN).read_text())
            metrics = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError):
            continue  # of another program, or just being written
        is_run = (
            isinstance(run, dict)
            and isinstance(metrics, dict)
            and all(isinstance(one, int | float) for one in metrics.values())
        )
        if is_run and run.get("data") == data:
            return {path.parent.name: metrics}
    return {}


def _results(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the results of the runs in a folder that can be looked at.

    What lies beside a run may be anything: a folder of another user, a mount
    whose server is gone. No run ends badly because of it.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    paths = [folder / name / _RESULT for name in names]
    return [path for path in paths if os.path.isfile(path)]


def table(
    metrics: Mapping[str, float],
    compared: Mapping[str, Mapping[str, float]],
    ks: Sequence[int],
) -> str:
    """Returns the field's table: this run, and what it is compared with.

    Args:
        metrics: of the run.
        compared: metrics by the name of their line; those that lack a figure
            of the table are left out.
        ks: of the metrics.
    """
    keys = tables.headline_keys(ks)
    others = {
        name: row for name, row in compared.items() if set(keys) <= set(row)
    }
    if not others:
        return tables.format_metrics(metrics, keys)
    return tables.format_rows({"this run": metrics, **others}, keys)


_OF_ESTIMATOR = """\
next      predict(X) answers; calibrate(X, y), on rows that were held out, makes
          probabilities of scores; save("runs/mine") keeps the run directory,
          which `python -m tfxml.predict` and the other commands read"""


def next_steps(path: str, is_text: bool) -> str:
    """Returns what comes next, as it can be typed.

    Args:
        path: the run directory; empty: it goes with its estimator.
        is_text: whether the run reads text.
    """
    if not path:
        return _OF_ESTIMATOR
    request = '{"feature_ids": [0, 1], "feature_values": [1, 1]}'
    if is_text:
        request = '{"text": "..."}'
    workdir = shlex.quote(f"--workdir={path}")
    output = shlex.quote(f"--output=exported/{pathlib.PurePath(path).name}")
    return (
        f"run directory: {path}\n"
        f"next      python -m tfxml.evaluate {workdir} --deciles\n"
        f"          echo '{request}' | python -m tfxml.predict {workdir}\n"
        f"          python -m tfxml.export {workdir} --format=saved_model "
        f"{output}"
    )


def unfinished(workdir: workdir_lib.Workdir) -> str:
    """Returns a line on a run that has not come to its end, or ''.

    Runs that were merged, or labels dropped from, are not trained: they have
    no end.
    """
    step = checkpoint_folders.latest_step(workdir.checkpoints)
    if workdir.is_finished or step is None:
        return ""
    meta = checkpoint_folders.read_meta(workdir.checkpoints, step)
    if meta["epoch"] is None:
        return ""
    config, facts = workdir.read()
    name = remote.name_of(workdir.path)
    done = meta["history"][-1]["epoch"] if meta["history"] else 0
    words = [
        f"--flagfile={name}/flags.cfg",
        f"--workdir={name}",
        *([f"--data_dir={facts.data_dir}"] if facts.data_dir else []),
    ]
    return (
        f"note      the run is not finished, with {done} of "
        f"{config.num_epochs} epochs evaluated; it resumes by\n"
        f"          python -m tfxml.train {shlex.join(words)}"
    )


def _changed(path: pathlib.Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
