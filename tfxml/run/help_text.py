"""What `--help` prints: all flags of a command, in groups, ours alone."""

from __future__ import annotations

import dataclasses
import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence

from absl import flags

from tfxml import config as config_lib

_INDENT = " " * 6
# What absl says of a flag that is required and was left out.
MISSING = re.compile(r"Flag --(\w+) must have a value other than None")
# What absl gives every command, in our words.
_COMMON = (
    ("--flagfile=FILE", "Reads flags from a file, one a line."),
    (
        "--verbosity=N",
        "What libraries may say. 0: TensorFlow's messages too, 1: more. Left "
        "out: only what needs attention.",
    ),
    ("--help", "Prints this page. --helpfull: the libraries' flags too."),
)


def text(
    command: str, about: str, groups: Mapping[str, Sequence[flags.Flag]]
) -> str:
    """Returns the page of a command.

    Args:
        command: how it is called, as `python -m tfxml.train`.
        about: what it does.
        groups: its flags by the title of their group, in order.
    """
    lines = [f"usage: {command} [--flag=value ...]", "", about.strip()]
    for title, found in groups.items():
        lines += ["", f"{title}:"]
        for flag in found:
            lines += _entry(_form(flag), _help(flag))
    lines += ["", "every command:"]
    for form, words in _COMMON:
        lines += _entry(form, words)
    return "\n".join(lines) + "\n"


def groups(own: Sequence[flags.Flag]) -> dict[str, list[flags.Flag]]:
    """Returns flags by group: where things are, then what is trained."""
    by_name = {flag.name: flag for flag in own}
    recipe = {}
    for title, options in config_lib.GROUPS.items():
        names = [field.name for field in dataclasses.fields(options)]
        if "=" in title:
            title = f"with --{title}"
        if by_name.keys() >= set(names):
            recipe[title] = [by_name.pop(name) for name in names]
    return {"where and how": list(by_name.values()), **recipe}


def _form(flag: flags.Flag) -> str:
    """Returns a flag with its default, as it is typed."""
    if flag.boolean:
        return f"--{flag.name}{f' (off: --no{flag.name})' * bool(flag.default)}"
    default = flag.default
    if isinstance(default, list | tuple):
        default = ",".join(map(str, default))
    if default is None:
        return f"--{flag.name}=...{' (required)' * is_required(flag)}"
    return f"--{flag.name}={default}"


def is_required(flag: flags.Flag) -> bool:
    """Tells whether a command does not run without the flag."""
    return any(MISSING.search(one.message) for one in flag.validators)


def _help(flag: flags.Flag) -> str:
    words = re.sub(r"^<.*>: ", "", flag.help)
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        words += f" One of {', '.join(choice for choice in choices if choice)}."
    return " ".join(words.split())


def _entry(form: str, words: str) -> list[str]:
    width = max(40, min(shutil.get_terminal_size().columns, 100))
    return [
        f"  {form}",
        *textwrap.wrap(
            words,
            width,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_on_hyphens=False,
        ),
    ]
