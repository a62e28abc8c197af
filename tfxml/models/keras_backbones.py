"""Reads Keras models that others have made, without running code of theirs."""

from __future__ import annotations

import os
import pathlib
import zipfile
from typing import Any

import keras

from tfxml.data import data_errors


def file_of(path: str | os.PathLike) -> pathlib.Path:
    """Returns the .keras file of a path: itself, or the only one in a folder.

    Raises:
        DataError: if there is none, or another format.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        files = sorted(path.glob("*.keras"))
        if len(files) == 1:
            return files[0]
        found = f"{len(files)} .keras files"
        if (path / "saved_model.pb").exists():
            found = "a SavedModel, which is a program"
        raise data_errors.DataError(path, found, "a single .keras file")
    if path.suffix != ".keras":
        raise data_errors.DataError(
            path, "a file of another name", "a .keras file, of `model.save`"
        )
    if not path.is_file():
        raise data_errors.DataError(path, "no such file", "a .keras file")
    return path


def ends(model: keras.Model) -> tuple[Any, Any]:
    """Returns the symbolic input and output of a model.

    Raises:
        ValueError: if it has none, as a model of its own class.
    """
    if isinstance(model, keras.Sequential):
        return model.inputs[0], model.outputs[0]
    if isinstance(model, keras.Model) and getattr(model, "inputs", None):
        return model.input, model.output
    raise ValueError(f"{type(model).__name__} is no graph of layers")


def load(path: str | os.PathLike) -> keras.Model:
    """Returns the model of a path, in Keras' safe mode.

    Raises:
        DataError: if it cannot be read, or would run code of its own.
    """
    file = file_of(path)
    try:
        with zipfile.ZipFile(file) as archive:
            content = archive.read("config.json")
        if b"keras_hub" in content:
            import keras_hub  # noqa: F401  # its layers register with Keras
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
        ends(model)  # of a graph of layers
        return model
    except ImportError as error:
        raise data_errors.DataError(
            file, "layers of KerasHub", "`pip install keras-hub`"
        ) from error
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        zipfile.BadZipFile,
    ) as error:
        raise data_errors.DataError(
            file,
            f"what cannot be read ({error!s:.300})",
            "a model of Keras' own layers",
        ) from error
