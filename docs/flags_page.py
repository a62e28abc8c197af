"""Writes docs/flags.md, all flags of all commands: `python docs/flags_page.py`.

From the code, so that no default or help is written twice; a test tells when
the page is not current.
"""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
import re

from absl import flags as absl_flags

from tfxml import config

PAGE = pathlib.Path(__file__).with_name("flags.md")
# In the order in which they are used.
COMMANDS = (
    "tfxml.train",
    "tfxml.evaluate",
    "tfxml.predict",
    "tfxml.export",
    "tfxml.prepare",
    "tfxml.download",
    "tfxml.plan",
    "tfxml.grow",
    "tfxml.drop",
    "tfxml.merge",
    "tfxml.serve_data",
)
_START = """# All flags

<!-- Written by docs/flags_page.py, not by hand. -->

A flag is given as `--name=value`, or all of them in a file: `--flagfile=PATH`,
one a line. A flag that does not exist is an error with the names that do.

## The recipe

What is trained. `tfxml.train`, `tfxml.prepare` and `tfxml.Config` take all of
these, under the same names and with the same defaults; a run keeps them in
`config.json` and `flags.cfg`.
"""
_COMMANDS_START = """
## The commands

What each command takes beside the recipe: where things are, on which devices.
These flags change nothing of what is learnt.
"""


def text() -> str:
    """Returns the page."""
    sections = [_START]
    for title, group in config.GROUPS.items():
        rows = [
            _row(
                field.name,
                field.default,
                field.metadata["choices"],
                field.metadata["help"],
            )
            for field in dataclasses.fields(group)
        ]
        if "=" in title:
            title = f"With `--{title}`"
        title = title[0].upper() + title[1:]
        sections.append(f"\n### {title}\n\n{_table(rows)}")
    sections.append(_COMMANDS_START)
    recipe = {field.name for field in dataclasses.fields(config.Config)}
    for command in COMMANDS:
        found, more = defined(command), ""
        if recipe <= set(found):
            found = {name: found[name] for name in found if name not in recipe}
            more = "\nIt takes the whole recipe too.\n"
        rows = [
            _row(name, flag.default, _choices(flag), _help(flag))
            for name, flag in found.items()
        ]
        sections.append(f"\n### `{command}`\n\n{_table(rows)}{more}")
    return "".join(sections)


def defined(command: str) -> dict[str, absl_flags.Flag]:
    """Returns the flags that a command of ours defines, by name."""
    path = "tfxml.export.__main__" if command == "tfxml.export" else command
    module = importlib.import_module(path)
    before = set(absl_flags.FLAGS)
    module.define_flags()
    found = {
        name: absl_flags.FLAGS[name]
        for name in absl_flags.FLAGS
        if name not in before
    }
    for name in found:
        delattr(absl_flags.FLAGS, name)
    return found


def _choices(flag: absl_flags.Flag):
    return getattr(flag.parser, "enum_values", None)


def _help(flag: absl_flags.Flag) -> str:
    """Returns the help without the choices, which absl puts before it."""
    return re.sub(r"^<.*>: ", "", flag.help)


def _row(name: str, default, choices, help_text: str) -> str:
    if choices:
        words = [f"`{choice}`" for choice in choices if choice != ""]
        help_text = f"{help_text.rstrip()} One of {', '.join(words)}."
    cells = f"`--{name}`", _shown(default), " ".join(help_text.split())
    return (
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    )


def _shown(default) -> str:
    """Returns a default as it is typed."""
    if isinstance(default, (tuple, list)):
        default = ",".join(map(str, default))
    if isinstance(default, bool):
        default = str(default).lower()
    return "" if default is None or default == "" else f"`{default}`"


def _table(rows: list[str]) -> str:
    return "\n".join(
        ["| flag | default | what it does |", "| --- | --- | --- |", *rows, ""]
    )


if __name__ == "__main__":
    PAGE.write_text(text())
