"""Options of the heads that have another one as their base."""

from __future__ import annotations

from typing import Any

from tfxml.models import module_options
from tfxml.models.heads import mach_options, sigmoid_options

_BASES: dict[str, type[module_options.ModuleOptions]] = {
    "sigmoid": sigmoid_options.SigmoidOptions,
    "mach": mach_options.MachOptions,
}


class BaseOptions(module_options.ModuleOptions):
    """The rules of a head whose base is `--base_head`."""

    @classmethod
    def check(cls, options: Any) -> None:
        """Raises ValueError for options under which it cannot be built."""
        _BASES[options.base_head].check(options)
