"""What a sweep tries: ranges and choices of a recipe's fields.

In a line, `learning_rate=1e-4..1e-2:log head=sigmoid|mach`, or in YAML:

    learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
    head: [sigmoid, mach]
    hidden_units: ["256", "512,256"]

Values are written as the flags of `tfxml.train` take them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absl import app
from absl import flags as absl_flags

from tfxml import config as config_lib
from tfxml.run import flags

if TYPE_CHECKING:
    import optuna

_RANGE = re.compile(r"(.+?)\.\.(.+?)(:log)?")
_BEYOND = 1e15  # up to there all whole numbers are floats
# What a sweep may not change: the question that all trials answer.
_FIXED = {
    "dataset",
    "eval_split",
    "validation_fraction",
    "metric_ks",
    "best_metric",
    "propensity_a",
    "propensity_b",
}


@dataclasses.dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, on a log scale or not."""

    low: float
    high: float
    is_log: bool
    is_whole: bool

    def ends(self) -> tuple[str, ...]:
        """Returns the values that show whether the field takes all."""
        return self.text(self.low), self.text(self.high)

    def text(self, value: float) -> str:
        """Returns a value as a flag."""
        return str(int(value)) if self.is_whole else repr(float(value))

    def suggest(self, trial: optuna.Trial, name: str) -> str:
        """Returns the value that a trial shall have, as a flag."""
        if self.is_whole:
            value: float = trial.suggest_int(
                name, int(self.low), int(self.high), log=self.is_log
            )
        else:
            value = trial.suggest_float(
                name, self.low, self.high, log=self.is_log
            )
        return self.text(value)


@dataclasses.dataclass(frozen=True)
class Choices:
    """Some values, as flags."""

    values: tuple[str, ...]

    def ends(self) -> tuple[str, ...]:
        """Returns the values that show whether the field takes all."""
        return self.values

    def suggest(self, trial: optuna.Trial, name: str) -> str:
        """Returns the value that a trial shall have, as a flag."""
        return trial.suggest_categorical(name, self.values)


Space = dict[str, Range | Choices]


def of_line(line: str) -> Space:
    """Returns what a line says, as `name=low..high:log` or `name=a|b`.

    Raises:
        ValueError: for a word that is neither, or a field that there is not.
    """
    space: Space = {}
    for word in line.split():
        name, equals, text = word.partition("=")
        if not equals or not text:
            raise _error("name=low..high, name=low..high:log or name=a|b", word)
        match = _RANGE.fullmatch(text)
        if match:
            low, high, log = match.groups()
            space[name] = _range(name, low, high, bool(log))
        else:
            space[name] = Choices(tuple(text.split("|")))
    return _checked(space)


def of_yaml(text: str) -> Space:
    """Returns what YAML says: {low, high, log} or a list, by field.

    Raises:
        ValueError: for anything else, or a field that there is not.
    """
    import yaml

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _error("YAML", str(error)) from error
    if not isinstance(values, dict):
        raise _error("a mapping from fields to ranges or lists", values)
    space: Space = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and {"low", "high"} <= set(value) <= {
            *("low", "high", "log")
        }:
            space[str(name)] = _range(
                str(name), value["low"], value["high"], value.get("log", False)
            )
        elif isinstance(value, list) and value:
            space[str(name)] = Choices(tuple(map(_flag, value)))
        else:
            raise _error("{low, high, log} or a list", f"{name}: {value}")
    return _checked(space)


def config_of(
    base: config_lib.Config, values: Mapping[str, str]
) -> config_lib.Config:
    """Returns the recipe with some fields as flags say.

    Raises:
        ValueError: if they contradict each other, or the rest.
    """
    words = flags.to_flagfile(base).splitlines()
    words += [f"--{name}={text}" for name, text in values.items()]
    defined = absl_flags.FlagValues()
    flags.define_config(defined)
    try:
        defined(["sweep", *words])
        return flags.read_config(defined)
    except (absl_flags.Error, app.UsageError) as error:
        raise ValueError(str(error)) from error


def check(base: config_lib.Config, space: Space) -> None:
    """Raises ValueError for a value that its field never takes.

    Values that only contradict those of other fields are found when they are
    tried.
    """
    fields = {field.name: field for field in dataclasses.fields(base)}
    for name, values in space.items():
        defined = absl_flags.FlagValues()
        flags.define_config(defined)
        for text in values.ends():
            try:
                defined(["sweep", f"--{name}={text}"])
            except absl_flags.Error as error:
                raise ValueError(str(error)) from error
            if isinstance(fields[name].default, tuple):
                flags.read_config(defined)


def _range(name: str, low: Any, high: Any, is_log: bool) -> Range:
    field = config_lib.Config.__dataclass_fields__.get(name)
    kind = None if field is None else config_lib.field_type(field)
    if field is not None and kind not in (int, float):
        raise _error(f"{name}=a|b, for it is no number", f"{low}..{high}")
    try:
        ends = float(low), float(high)
    except (TypeError, ValueError) as error:
        raise _error("numbers at both ends", f"{low}..{high}") from error
    is_whole = kind is int
    if not all(abs(end) < _BEYOND for end in ends):
        raise _error(
            f"numbers below {_BEYOND:g} at both ends", f"{low}..{high}"
        )
    if not ends[0] < ends[1] or (is_log and ends[0] <= 0):
        raise _error(
            "low below high, and low above 0 on a log scale", f"{low}..{high}"
        )
    if is_whole and not all(end.is_integer() for end in ends):
        raise _error(f"whole numbers for {name}", f"{low}..{high}")
    return Range(*ends, is_log, is_whole)


def _flag(value: Any) -> str:
    """Returns a value of YAML as a flag."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


def _checked(space: Space) -> Space:
    names = {field.name for field in dataclasses.fields(config_lib.Config)}
    if unknown := sorted(set(space) - names):
        raise _error("fields of the recipe (see docs/flags.md)", unknown)
    if fixed := sorted(set(space) & _FIXED):
        raise _error("fields that leave the question as it is", fixed)
    if not space:
        raise _error("at least one field", "nothing")
    return space


def _error(needed: str, received: object) -> ValueError:
    return ValueError(f"`search` must have {needed}. Received: {received}")
