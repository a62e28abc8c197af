"""Logs a run to MLflow, which must be installed.

Where to is what MLflow's own variables say: MLFLOW_TRACKING_URI, such as
sqlite:///mlflow.db or a server's address, and MLFLOW_EXPERIMENT_NAME.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import time
from typing import Any

from tfxml import config as config_lib
from tfxml.run import run as run_lib

# As MLflow allows: characters of a parameter, and parameters of a call.
_LONGEST, _MOST_PARAMETERS = 6000, 100
_NOT_ALLOWED = re.compile(r"[^\w\-. /]")


class MlflowWriter:
    """Writes the recipe as parameters, and evaluations as metrics.

    Runs are told apart by the tag `tfxml.workdir`: a run that resumes
    continues the run of MLflow that it began.

    Args:
        folder: the run directory.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = str(folder.resolve())
        self._run_id = ""
        self._client: Any = None

    def begin(self, config: config_lib.Config, run: run_lib.Run) -> None:
        """Begins a run of MLflow, or continues the one of this folder."""
        import mlflow
        from mlflow import entities

        self._client = mlflow.MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "tfxml")
        experiment = self._client.get_experiment_by_name(name)
        experiment_id = (
            self._client.create_experiment(name)
            if experiment is None
            else experiment.experiment_id
        )
        quote = '"' if "'" in self._folder else "'"
        before = self._client.search_runs(
            [experiment_id],
            f"tags.`tfxml.workdir` = {quote}{self._folder}{quote}",
        )
        if before:
            self._run_id = before[0].info.run_id
            self._client.update_run(self._run_id, "RUNNING")
            return
        begun = self._client.create_run(
            experiment_id,
            run_name=pathlib.Path(self._folder).name,
            tags={"tfxml.workdir": self._folder},
        )
        self._run_id = begun.info.run_id
        recipe = [
            entities.Param(name, str(value)[:_LONGEST])
            for name, value in dataclasses.asdict(config).items()
        ]
        for first in range(0, len(recipe), _MOST_PARAMETERS):
            self._client.log_batch(
                self._run_id, params=recipe[first : first + _MOST_PARAMETERS]
            )

    def after_loop(self, is_traced: bool) -> None:
        """Writes nothing."""

    def write(self, entry: dict[str, float], run: run_lib.Run) -> None:
        """Writes an evaluation; "P@1" is called P_at_1 there."""
        from mlflow import entities

        now = int(1000 * time.time())
        self._client.log_batch(
            self._run_id,
            metrics=[
                entities.Metric(
                    _NOT_ALLOWED.sub("_", name.replace("@", "_at_")),
                    float(value),
                    now,
                    int(entry["step"]),
                )
                for name, value in entry.items()
                if name != "step"
            ],
        )

    def end(self) -> None:
        """Ends the run of MLflow."""
        self._client.set_terminated(self._run_id)
