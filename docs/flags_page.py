"""Writes docs/flags.md, all flags of all commands: `python docs/flags_page.py`.

It is generated from the code, so that no default or help text is written twice;
a test fails when the page is out of date.
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
    "tfxml.calibrate",
    "tfxml.predict",
    "tfxml.diagnose",
    "tfxml.serve",
    "tfxml.report",
    "tfxml.sweep",
    "tfxml.export",
    "tfxml.prepare",
    "tfxml.download",
    "tfxml.plan",
    "tfxml.probe",
    "tfxml.grow",
    "tfxml.drop",
    "tfxml.rerank",
    "tfxml.merge",
    "tfxml.serve_data",
    "tfxml.doctor",
)
_START = """# All flags

<!-- Written by docs/flags_page.py, not by hand. -->

Set a flag with `--name=value`, or put flags in a file, one per line, and pass
`--flagfile=PATH`. An unknown flag is an error that lists the valid names.

## The recipe

What to train. `tfxml.train`, `tfxml.prepare` and `tfxml.Config` take all of
these, with the same names and defaults; a run stores them in `config.json` and
`flags.cfg`.
"""
_COMMANDS_START = """
## The commands

The flags of each command besides the recipe: folders and devices. They do not
change what is learnt.
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
        command_flags, note = defined(command), ""
        if recipe <= set(command_flags):
            command_flags = {
                name: command_flags[name]
                for name in command_flags
                if name not in recipe
            }
            note = "\nIt takes the whole recipe too.\n"
        rows = [
            _row(name, flag.default, _choices(flag), _help(flag))
            for name, flag in command_flags.items()
        ]
        sections.append(f"\n### `{command}`\n\n{_table(rows)}{note}")
    return "".join(sections)


def defined(command: str) -> dict[str, absl_flags.Flag]:
    """Returns the flags that a command of ours defines, by name."""
    path = "tfxml.export.__main__" if command == "tfxml.export" else command
    module = importlib.import_module(path)
    before = set(absl_flags.FLAGS)
    module.define_flags()
    new_flags = {
        name: absl_flags.FLAGS[name]
        for name in absl_flags.FLAGS
        if name not in before
    }
    for name in new_flags:
        delattr(absl_flags.FLAGS, name)
    return new_flags


def _choices(flag: absl_flags.Flag):
    return getattr(flag.parser, "enum_values", None)


def _help(flag: absl_flags.Flag) -> str:
    """Returns the help without the choices, which absl puts before it."""
    return re.sub(r"^<.*>: ", "", flag.help)


def _row(name: str, default, choices, help_text: str) -> str:
    if choices:
        choice_names = [f"`{choice}`" for choice in choices if choice != ""]
        help_text = f"{help_text.rstrip()} One of {', '.join(choice_names)}."
    cells = f"`--{name}`", _as_typed(default), " ".join(help_text.split())
    return (
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    )


def _as_typed(default) -> str:
    """Returns a default as a user types it."""
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
