"""Command lines of the form `FLAGS -- COMMAND`, which prepare and run it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence


def parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str]
) -> tuple[argparse.Namespace, list[str]]:
    """Returns the flags before the first `--`, and the command after it."""
    parser.usage = f"{parser.prog} FLAGS -- COMMAND ..."
    arguments = list(arguments)
    middle = arguments.index("--") if "--" in arguments else len(arguments)
    flags = parser.parse_args(arguments[:middle])
    command = arguments[middle + 1 :]
    if not command:
        parser.error("a command must follow `--`")
    return flags, command


def become(command: list[str], settings: Mapping[str, str]) -> None:
    """Replaces this process by the command, with more in its environment."""
    os.execvpe(command[0], command, {**os.environ, **settings})
