"""Tables of heads, losses and encoders, imported when they are looked up."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from tfxml.models import module_options

Module = TypeVar("Module")


class ModuleTable(Mapping[str, Module]):
    """Classes of modules by their names.

    Args:
        package: the folder that holds their files.
        places: the file and the name of each class.
        options: the classes of options that lie in files without TensorFlow.
    """

    def __init__(
        self,
        package: str,
        places: Mapping[str, str],
        options: Mapping[str, type[module_options.ModuleOptions]],
    ):
        self._package = package
        self._places = places
        self._options = options

    def __getitem__(self, name: str) -> Module:
        module, kind = self._places[name].split(".")
        return getattr(
            importlib.import_module(f"{self._package}.{module}"), kind
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def options(self, name: str) -> type[module_options.ModuleOptions]:
        """Returns a module's class of options, with TensorFlow if need be."""
        if name in self._options:
            return self._options[name]
        module: Any = self[name]
        return module.Options
