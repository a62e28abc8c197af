"""Tells the format of files by their names, and of train.txt by its content."""

from __future__ import annotations

import dataclasses
import os
import re

from tfxml.data import data_errors
from tfxml.data.formats import (
    folder_files,
    format_table,
    hf_datasets,
    read_options,
    surveys,
    text_kinds,
)

_FOR_ALL = ("format", "test_fraction", "split_seed")  # options of any format


def find(
    data_dir: str, files: list[str], options: read_options.ReadOptions
) -> tuple[str, surveys.Pieces]:
    """Returns the format of a folder or of one file, and the files.

    Args:
        data_dir: the folder or file.
        files: the names in the folder.
        options: of which `format` chooses.

    Raises:
        DataError: if there is no format, or more than one.
        ValueError: for an option that is none of the format's.
    """
    if options.format not in ("auto", *format_table.FORMATS):
        raise ValueError(
            f"`format` must be auto or one of {tuple(format_table.FORMATS)}. "
            f"Received: format={options.format!r}"
        )
    if os.path.isfile(data_dir):
        name = _format_of_file(data_dir, options.format)
        pieces: surveys.Pieces = {"train": ((data_dir,),)}
    elif hf_datasets.STATE in files:
        name = "hf_datasets"
        pattern = hf_datasets.FILES_OF_ONE_SPLIT
        pieces = _without_none(
            {"train": folder_files.pieces_of(data_dir, files, (pattern,))}
        )
    else:
        name, pieces = _find_in_folder(data_dir, files, options.format)
    if not pieces:
        raise _no_format(data_dir, files)
    _check_options(name, options)
    return name, pieces


def example(format: str) -> str:
    """Returns how a format's files are called, in brackets."""
    module = format_table.FORMATS.get(format)
    return f" ({format}: {module.EXAMPLE})" if module else ""


def _find_in_folder(
    data_dir: str, files: list[str], format: str
) -> tuple[str, surveys.Pieces]:
    names = tuple(format_table.FORMATS) if format == "auto" else (format,)
    by_format = _without_none(
        {name: _pieces_of(data_dir, files, name) for name in names}
    )
    chosen = [
        name
        for name in by_format
        if not by_format.keys() & set(_yields_to(name))
    ]
    if len(chosen) > 1:
        raise data_errors.DataError(
            data_dir,
            f"{' and '.join(chosen)} among {folder_files.listing(files)}",
            "one format, or --format to say which",
        )
    _check_pairs(data_dir, files, chosen or names)
    if not chosen:
        raise _no_format(data_dir, files)
    return chosen[0], by_format[chosen[0]]


def _pieces_of(data_dir: str, files: list[str], name: str) -> surveys.Pieces:
    patterns = format_table.FORMATS[name].FILES
    found = {}
    for split in folder_files.SPLITS:
        of_split = tuple(folder_files.of_split(p, split) for p in patterns)
        names = files
        if name in format_table.KINDS_OF_TXT:
            names = [
                file
                for file in folder_files.matching(files, of_split[0])
                if _may_be(os.path.join(data_dir, file), name)
            ]
        found[split] = folder_files.pieces_of(data_dir, names, of_split)
    return _without_none(found)


def _may_be(path: str, name: str) -> bool:
    """Tells whether what is in a file can be of a format."""
    is_txt = path.removesuffix(".gz").endswith(".txt")
    return not is_txt or text_kinds.of(path) == name


def _check_pairs(data_dir: str, files: list[str], names) -> None:
    """Raises DataError for a file that lacks the one that goes with it."""
    for name in names:
        patterns = format_table.FORMATS[name].FILES
        for split in folder_files.SPLITS:
            lonely = folder_files.half_pair(data_dir, files, patterns, split)
            if lonely:
                raise data_errors.DataError(
                    data_dir,
                    f"{lonely} without its pair",
                    f"both files of {split}. {format_table.examples()}",
                )


def _format_of_file(path: str, format: str) -> str:
    if format != "auto":
        return format
    for name, module in format_table.FORMATS.items():
        ending = getattr(module, "ENDING", None)
        if ending and re.search(ending + "$", path) and _may_be(path, name):
            return name
    raise data_errors.DataError(
        path,
        "a file whose name ends in no format's way",
        "--format, one of "
        + ", ".join(
            name
            for name, module in format_table.FORMATS.items()
            if hasattr(module, "ENDING")
        ),
    )


def _check_options(name: str, options: read_options.ReadOptions) -> None:
    allowed = (*_FOR_ALL, *format_table.FORMATS[name].OPTIONS)
    for field in dataclasses.fields(read_options.ReadOptions):
        value = getattr(options, field.name)
        if value != field.default and field.name not in allowed:
            raise ValueError(
                f"`{field.name}` must be left out for data of format {name}. "
                f"Received: {field.name}={value!r}"
            )


def _yields_to(name: str) -> tuple[str, ...]:
    return getattr(format_table.FORMATS[name], "YIELDS_TO", ())


def _without_none(found: dict) -> dict:
    return {key: value for key, value in found.items() if value}


def _no_format(data_dir: str, files: list[str]) -> data_errors.NoFormatError:
    needed = f"the files of one format. {format_table.examples()}"
    whole = [f for f in files if _is_whole(f)]
    if len(whole) == 1:
        needed = (
            "names that tell train from test, or the file itself as "
            f"--data_dir: {os.path.join(data_dir, whole[0])}. {needed}"
        )
    return data_errors.NoFormatError(
        data_dir, folder_files.listing(files), needed
    )


def _is_whole(file: str) -> bool:
    """Tells whether a file may be a data set that is not called train."""
    return any(
        re.search(module.ENDING + "$", file)
        for module in format_table.FORMATS.values()
        if hasattr(module, "ENDING") and "txt" not in module.ENDING
    )
