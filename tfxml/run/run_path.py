"""Chooses the folder of a run: the given one, or a new one."""

from __future__ import annotations

import pathlib
import time

from strategies import cluster
from tfxml.run import paths
from tfxml.run import placement as placement_lib
from tfxml.run import workdir as workdir_lib


def of(
    name: str,
    path: str,
    task: cluster.Cluster | None,
    placement: placement_lib.Placement,
) -> workdir_lib.Workdir:
    """Returns the run's folder, a new one under `runs` if no path is given.

    Args:
        name: with which a new folder's name begins.
        path: of the folder, or empty.
        task: of a cluster.
        placement: which repetitions it holds.
    """
    if path:
        folder = pathlib.Path(paths.local(path, "workdir"))
        return workdir_lib.Workdir(folder / placement.folder)
    if (task is not None and task.num_workers > 1) or placement.folder:
        raise ValueError(
            "`workdir` must name a folder that all workers and groups reach. "
            "Received: none"
        )
    start = time.strftime(f"{name}-%Y%m%d-%H%M%S")
    number = 0
    while True:
        number += 1
        folder = pathlib.Path("runs") / (start + f"-{number}" * (number > 1))
        folder.parent.mkdir(exist_ok=True)
        try:
            folder.mkdir()  # another run may have started in this second
        except FileExistsError:
            continue
        return workdir_lib.Workdir(folder)
