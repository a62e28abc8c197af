"""What can be refused before TensorFlow is imported, which takes seconds."""

from __future__ import annotations

import json
import os
import pathlib

from tfxml import config as config_lib
from tfxml.data import checked_files, data_errors
from tfxml.data.catalogue import known_sets
from tfxml.run import manifest, paths, remote

# What a run directory holds beside what its manifest lists.
_OF_A_RUN = {
    *("manifest.json", "metrics.jsonl", "result.json", "calibration.json"),
    *("checkpoints", "estimator.json", "run.lock"),
}


def check_workdir(path: str, name: str = "workdir") -> None:
    """Raises ValueError unless a run can be written to a path.

    Args:
        path: of the run directory; empty: a new one is made.
        name: of the argument.
    """
    path = paths.checked(path, name)
    if (
        path
        and not remote.url_of(path)
        and os.path.lexists(path)
        and not os.path.isdir(path)
    ):
        raise ValueError(
            f"`{name}` must be a folder, or a path where one can be made. "
            f"Received: {name}={path}, a file"
        )


def check_run(path: str, data_dir: str = "") -> None:
    """Raises an error unless a run is there, and the data it is given.

    Args:
        path: of the run directory; what lies elsewhere is not looked at.
        data_dir: the folder of the data set; empty: the one of training.

    Raises:
        ValueError: for a folder without a run.
        DataError: for a folder of data that is not there.
    """
    path = paths.checked(path, "workdir")
    if not remote.url_of(path):
        manifest.Manifest(path).names()
    if data_dir:
        check_folder(data_dir)


def check_output(
    path: str, workdir: str = "", name: str = "output", data_dir: str = ""
) -> None:
    """Raises ValueError for a file to write that is a run's or of the data.

    Args:
        path: of a file to write; "-" and empty: none.
        workdir: the run directory; other runs' files are looked after, too.
        name: of the argument.
        data_dir: the folder of the data set; empty: the one of training.
    """
    if path in ("", "-") or remote.url_of(path):
        return
    real = pathlib.Path(os.path.realpath(path))
    for folder in real.parents:
        if (folder / "manifest.json").is_file() and _is_of_run(real, folder):
            raise ValueError(
                f"`{name}` must not be a file of the run in `workdir`. "
                f"Received: {name}={path}, in the run directory {folder}"
            )
    if workdir and not remote.url_of(workdir):
        data_dir = data_dir or _data_of(workdir)
    if data_dir and not remote.url_of(data_dir):
        _check_beside_data(path, name, data_dir)


def _is_of_run(path: pathlib.Path, folder: pathlib.Path) -> bool:
    """Tells whether a path below a run directory is one of its files."""
    try:
        known = manifest.Manifest(folder).names()
    except (data_errors.DataError, OSError):
        return False  # a manifest of something else
    own = {pathlib.PurePath(one).parts[0] for one in known} | _OF_A_RUN
    return path.relative_to(folder).parts[0] in own


def _data_of(workdir: str) -> str:
    """Returns the folder of the data set that a run was trained on, or ""."""
    with checked_files.reading(pathlib.Path(workdir) / "run.json"):
        facts = json.loads(manifest.Manifest(workdir).read("run.json"))["facts"]
        return str(facts["data_dir"])


def _check_beside_data(path: str, name: str, data_dir: str) -> None:
    from tfxml.data.formats import own_names  # here: few commands need it

    if own_names.has(data_dir, path):
        raise ValueError(
            f"`{name}` must not be a file of the data set in `data_dir`. "
            f"Received: {name}={path}, data_dir={data_dir}"
        )


def check_runs(path: str) -> None:
    """Raises ValueError unless run directories are in a folder."""
    if not any(pathlib.Path(path).glob("**/manifest.json")):
        raise ValueError(
            "`runs` must be a folder with run directories in it. "
            f"Received: runs={path}"
        )


def is_folder(config: config_lib.Config, data_dir: str) -> bool:
    """Tells whether instances come from a folder.

    Raises:
        ValueError: if the config and `data_dir` contradict each other.
    """
    if config.dataset == "folder" and not data_dir:
        raise ValueError(
            "`data_dir` must be given for dataset=folder. Received: none"
        )
    if config.dataset == "synthetic" and data_dir:
        raise ValueError(
            "`data_dir` must be empty for dataset=synthetic. "
            f"Received: {data_dir=}"
        )
    return bool(data_dir)


def check_data(
    config: config_lib.Config, data_dir: str, workdir: str = ""
) -> None:
    """Raises an error unless folder and files are there that are read.

    Args:
        config: the recipe.
        data_dir: the folder of the data set; empty: the generated one.
        workdir: the run directory. A run that has started holds what the
            recipe's files gave it, and resumes without them.
    """
    if not _may_have_started(workdir):
        for name in ("word_vectors", "backbone"):
            if getattr(config, name):
                check_input(getattr(config, name), name)
    if is_folder(config, data_dir) and config.dataset not in known_sets.names():
        check_folder(data_dir)  # those of the catalogue are fetched


def _may_have_started(workdir: str) -> bool:
    """Tells whether a run is in a folder; elsewhere it is not looked for."""
    path = paths.checked(workdir, "workdir")
    if not path or remote.url_of(path):
        return bool(path)
    folder = pathlib.Path(path)
    return manifest.Manifest(folder).is_there and not manifest.is_unfinished(
        folder
    )


def check_folder(data_dir: str) -> None:
    """Raises DataError unless the folder of a data set is there."""
    path = paths.checked(data_dir, "data_dir")
    if not remote.url_of(path) and not _exists(path):
        raise data_errors.DataError(
            remote.name_of(path), "no such folder", "the folder of a data set"
        )


def check_input(path: str, name: str = "input") -> None:
    """Raises ValueError unless there is a file to read; "-" is one."""
    path = path if path == "-" else paths.checked(path, name)
    if path != "-" and not remote.url_of(path) and not _exists(path):
        raise ValueError(
            f"`{name}` must be a file that there is. Received: {name}={path}"
        )


def _exists(path: str) -> bool:
    """Tells whether there is such a path.

    Raises:
        OSError: if the system cannot say, as for a server that is gone.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
