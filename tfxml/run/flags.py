"""Command-line flags, made from the config; nothing below reads them."""

from __future__ import annotations

import dataclasses
import difflib
import io
import math
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from absl import app, flags

from tfxml import config as config_lib
from tfxml import options
from tfxml.run import command_door, help_text, paths, tensorflow_start

_HELP = ("--help", "-help", "-h", "--helpshort")
# What Python says of a number, and what we do.
_NUMBERS = {
    "invalid literal for int()": "a whole number",
    "could not convert string to float": "a number",
}


def define_config(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one flag for each field of the config."""
    for field in dataclasses.fields(config_lib.Config):
        _define(field, values)


def define_group(group: type, values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one flag for each option of a group of `config.GROUPS`."""
    for field in dataclasses.fields(group):
        _define(field, values)


def read_config(values: flags.FlagValues = flags.FLAGS) -> config_lib.Config:
    """Returns the config that the flags describe.

    Raises:
        app.UsageError: if values contradict each other.
    """
    arguments = {}
    for field in dataclasses.fields(config_lib.Config):
        value = values[field.name].value
        arguments[field.name] = _as_tuple(field, value)
    try:
        return config_lib.Config(**arguments)
    except (ValueError, TypeError) as error:
        raise app.UsageError(str(error)) from error


def given(values: flags.FlagValues = flags.FLAGS) -> list[str]:
    """Returns the options that a flag or a flagfile gives."""
    names = [field.name for field in dataclasses.fields(config_lib.Config)]
    return [name for name in names if values[name].present]


def to_flagfile(config: config_lib.Config) -> str:
    """Returns a flagfile for the same config."""
    lines = []
    for field in dataclasses.fields(config_lib.Config):
        value = getattr(config, field.name)
        if isinstance(value, tuple):
            value = ",".join(map(str, value))
        elif isinstance(value, bool):
            value = str(value).lower()
        lines.append(f"--{field.name}={value}\n")
    return "".join(lines)


def run(main: Callable, define: Callable[[], None]) -> None:
    """Defines the flags, parses the command line and runs `main()`.

    A word that is no flag, a flag that does not exist and a value of the wrong
    type end the program with one paragraph that says what to mend.
    """
    command_door.open_standard_files()
    tensorflow_start.save_memory()
    define()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # logs follow the run

    def parse(argv):
        if any(word in _HELP for word in argv[1:]):
            command_door.run(_print_help)
            sys.exit(0)
        try:
            words = flags.FLAGS(argv)
            check_numbers(_own())
        except flags.UnrecognizedFlagError as error:
            _stop(_unknown(error.flagname))
        except (flags.Error, OSError) as error:
            _stop(_mended(str(error)))
        if len(words) > 1:
            _stop(
                f"{' '.join(words[1:])}: belongs to no flag; a flag is given "
                f"as --name=value, and `{_command()} --help` lists them"
            )
        tensorflow_start.set_verbosity()
        return words

    app.run(lambda _: command_door.run(main), flags_parser=parse)


def check_numbers(defined: Iterable[flags.Flag]) -> None:
    """Raises flags.Error for numbers not finite or too large for 64 bits."""
    for flag in defined:
        needed = ""
        if isinstance(flag.value, float) and not math.isfinite(flag.value):
            needed = "a finite number"
        elif isinstance(flag.value, int) and not abs(flag.value) < 2**63:
            needed = f"between -{2**63} and {2**63}"
        if needed:
            raise flags.IllegalFlagValueError(
                f"--{flag.name} must be {needed}. "
                f"Received: --{flag.name}={flag.value}"
            )


def _stop(message: str) -> NoReturn:
    sys.stderr.write(f"FATAL {message}\n")
    sys.exit(1)


def _print_help() -> None:
    about = sys.modules["__main__"].__doc__ or ""
    print(
        help_text.text(_command(), about, help_text.groups(_own())),
        end="",
    )


def _command() -> str:
    """Returns how the command was called."""
    spec = sys.modules["__main__"].__spec__
    if spec is None:  # a script that was installed
        return os.path.basename(sys.argv[0])
    return f"python -m {spec.name.removesuffix('.__main__')}"


def _unknown(name: str) -> str:
    """Returns what is said of a flag that does not exist."""
    names = [flag.name for flag in _own()]
    near = difflib.get_close_matches(name, names, n=3)
    maybe = f"Did you mean --{' or --'.join(near)}? " if near else ""
    return f"there is no flag --{name}. {maybe}`{_command()} --help` lists them"


def _mended(message: str) -> str:
    """Returns what absl says of a value, in one line and our form."""
    missing = help_text.MISSING.findall(message)
    if missing:
        return f"--{' and --'.join(missing)} must be given"
    found = re.match(r"flag (--.*?): (.*)", message, flags=re.DOTALL)
    if found:
        for reason, needed in _NUMBERS.items():
            if found[2].startswith(reason):
                name = found[1].partition("=")[0]
                return f"{name} must be {needed}. Received: {found[1]}"
        message = f"{found[1]}: {found[2]}"
    return "; ".join(message.removeprefix("ERROR:: ").splitlines())


def _own() -> list[flags.Flag]:
    by_module = flags.FLAGS.flags_by_module_dict()
    return [
        flag
        for module, module_flags in by_module.items()
        for flag in module_flags
        if module.startswith(("tfxml", "__main__")) or module == sys.argv[0]
    ]


def _define(field: dataclasses.Field, values: flags.FlagValues) -> None:
    value_type = config_lib.field_type(field)
    default: Any = field.default
    name, help_text = field.name, field.metadata["help"]
    choices = field.metadata["choices"]
    bounds = {
        "lower_bound": field.metadata["minimum"],
        "upper_bound": field.metadata["maximum"],
    }
    if field.metadata["is_path"]:
        paths.define(name, default, help_text, flag_values=values)
    elif choices:
        flags.DEFINE_enum(
            name, default, list(choices), help_text, flag_values=values
        )
    elif value_type is bool:
        flags.DEFINE_bool(name, default, help_text, flag_values=values)
    elif value_type is int:
        flags.DEFINE_integer(
            name, default, help_text, **bounds, flag_values=values
        )
    elif value_type is float:
        flags.DEFINE_float(
            name, default, help_text, **bounds, flag_values=values
        )
    elif value_type is tuple:
        items = [str(value) for value in default]
        flags.DEFINE_list(name, items, help_text, flag_values=values)
    else:
        flags.DEFINE_string(name, default, help_text, flag_values=values)


def _as_tuple(field: dataclasses.Field, value: Any) -> Any:
    if not isinstance(field.default, tuple):
        return value
    try:
        return tuple(
            options.item_type(config_lib.Config, field)(v) for v in value
        )
    except ValueError as error:
        raise app.UsageError(
            f"--{field.name} must hold whole numbers, comma-separated. "
            f"Received: --{field.name}={','.join(value)}"
        ) from error
