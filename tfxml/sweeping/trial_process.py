"""A trial: the training of one recipe, as a process of its own."""

from __future__ import annotations

import pathlib
import signal
import subprocess
from collections.abc import Sequence

from tfxml import config as config_lib
from tfxml.run import evaluations, flags
from tfxml.run import workdir as workdir_lib

_LOG = "log.txt"


class TrialProcess:
    """Trains in a folder, resuming what is there.

    Args:
        config: the recipe.
        folder: the run directory.
        data_dir: the folder of the data set; empty: the generated one.
        command: what trains, to which the flags are added.
    """

    def __init__(
        self,
        config: config_lib.Config,
        folder: pathlib.Path,
        data_dir: str,
        command: Sequence[str],
    ):
        self._config = config
        self._workdir = workdir_lib.Workdir(folder)
        folder.mkdir(parents=True, exist_ok=True)
        flagfile = folder / "trial.cfg"
        flagfile.write_text(flags.to_flagfile(config))
        self._log = folder / _LOG
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [
                    *command,
                    f"--flagfile={flagfile}",
                    f"--workdir={folder}",
                    f"--data_dir={data_dir}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the sweep, which then ends its trials.
                start_new_session=True,
            )

    def exit_code(self) -> int | None:
        """Returns the exit code; None while it runs."""
        return self._process.poll()

    def evaluations(self) -> list[dict]:
        """Returns the evaluations so far."""
        return self._workdir.read_metrics()

    def value(self) -> float:
        """Returns the metric of the finished run."""
        history = self._workdir.read_metrics()
        return evaluations.final_entry(self._config, history)[
            self._config.best_metric
        ]

    def end(self) -> None:
        """Has training save and end; waits for it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def last_words(self) -> str:
        """Returns the last line of its output."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""
