"""The flags that ask for a recipe, and what they ask for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from absl import app
from absl import flags as absl_flags

from tfxml import config as config_lib
from tfxml.recipe import recipe_request
from tfxml.run import flags

if TYPE_CHECKING:
    import tensorflow as tf

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_BYTES = {"MiB": 2**20, "GiB": 2**30}


def define(values: absl_flags.FlagValues = absl_flags.FLAGS) -> None:
    """Defines the flags."""
    absl_flags.DEFINE_enum(
        "recipe",
        None,
        ["auto", "none"],
        "auto: choose the options of model and training that no flag gives, by "
        "the data and a trial on a part of the training split. none: their "
        "defaults. Without this flag: auto for data that are not generated, "
        "unless a flag gives such an option.",
        flag_values=values,
    )
    absl_flags.DEFINE_string(
        "time_budget",
        "5m",
        "recipe=auto: about how long trial and training may take, such as 90s, "
        "5m or 2h.",
        flag_values=values,
    )
    absl_flags.DEFINE_string(
        "memory_budget",
        "",
        "recipe=auto: the memory that weights may take in training, such as "
        "500MiB or 8GiB. Empty: half of this machine's.",
        flag_values=values,
    )


def read(
    config: config_lib.Config,
    data_dir: str,
    strategy: tf.distribute.Strategy,
    data_service: str = "",
    values: absl_flags.FlagValues = absl_flags.FLAGS,
) -> recipe_request.Request | None:
    """Returns what is asked for, or None where no recipe is to be chosen.

    Raises:
        app.UsageError: for a recipe where none can be found.
    """
    seconds = _measure("time_budget", values.time_budget, _SECONDS)
    size = 0.0
    if values.memory_budget:
        size = _measure("memory_budget", values.memory_budget, _BYTES)
    is_alone = not (_has_others(strategy) or data_service)
    if values.recipe == "auto" and not is_alone:
        raise app.UsageError(
            "--recipe must be none with a TPU, several processes or a tf.data "
            "service: find the recipe on one machine, and give its flags.cfg "
            "as --flagfile. Received: --recipe=auto"
        )
    given = frozenset(flags.given(values))
    is_generated = config.dataset in ("auto", "synthetic") and not data_dir
    is_chosen = bool(given & recipe_request.CHOSEN)
    is_open = is_alone and not is_generated and not is_chosen
    if values.recipe == "none" or not (values.recipe or is_open):
        return None
    return recipe_request.Request(given, seconds, int(size))


def _has_others(strategy: tf.distribute.Strategy) -> bool:
    """Tells whether more than this process trains, or a TPU does."""
    import tensorflow as tf  # here: flags are defined without it

    return isinstance(
        strategy,
        (
            tf.distribute.MultiWorkerMirroredStrategy,
            tf.distribute.ParameterServerStrategy,
            tf.distribute.TPUStrategy,
        ),
    )


def _measure(name: str, text: str, units: dict[str, int]) -> float:
    """Returns a number with a unit, in the smallest one.

    Raises:
        app.UsageError: if it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(\w+)", text)
    if not found or found[2] not in units or not float(found[1]):
        raise app.UsageError(
            f"--{name} must be a number above 0 and one of {', '.join(units)}. "
            f"Received: --{name}={text}"
        )
    return float(found[1]) * units[found[2]]
