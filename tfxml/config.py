"""The recipe of a run: the options of all modules in one frozen class.

Each group of options is next to the code that it controls, with its defaults,
help and rules; this file joins the groups and has the rules between them.
Flags, flagfiles and `config.json` are flat: every name is unique.

Where a run happens (folders, devices) is not here: see `run.device_flags`.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from tfxml import options
from tfxml.data import data_options
from tfxml.data.formats import read_options
from tfxml.data.text import text_options
from tfxml.models import (
    encoders,
    heads,
    losses,
    model_options,
    module_table,
    reranker_options,
    token_options,
)
from tfxml.run import run_options
from tfxml.training import training_options


def _of(modules: module_table.ModuleTable) -> dict[str, type]:
    """Returns the options classes of modules, each once, by title."""
    groups: dict[type, str] = {}
    for name in modules:
        kind = modules.options(name)
        if dataclasses.fields(kind):
            groups.setdefault(kind, name)
    return {name: kind for kind, name in groups.items()}


# Titles, as help shows them, and the classes that hold the options.
GROUPS: dict[str, type] = {
    "data": data_options.DataOptions,
    "reading": read_options.ReadOptions,
    "text": text_options.TextOptions,
    "model": model_options.ModelOptions,
    "tokens": token_options.TokenOptions,
    **{f"encoder={k}": v for k, v in _of(encoders.ENCODERS).items()},
    **{f"head={k}": v for k, v in _of(heads.HEADS).items()},
    **{f"loss={k}": v for k, v in _of(losses.LOSSES).items()},
    "re-ranker": reranker_options.RerankerOptions,
    "training": training_options.TrainingOptions,
    "run": run_options.RunOptions,
}


@dataclasses.dataclass(frozen=True)
class Config(*GROUPS.values()):  # type: ignore[misc]  # bases from a table
    """A run's recipe. Build it with `Config(head="mach", ...)`.

    It is an instance of every group of options, so a module can take it as its
    own options.

    Raises:
        ValueError: if a value is not among its choices, out of range, or
            contradicts another.
        TypeError: if a value has another type than its default.
    """

    def __post_init__(self):
        options.check_values(self)
        self.check_data()
        self.check_read()
        self.check_text()
        self.check_tokens()
        self.check_reranker()
        self.check_training()
        self.check_run()
        encoders.ENCODERS.options(self.encoder).check(self)
        heads.HEADS.options(self.head).check(self)
        self._check_together()

    def _check_together(self) -> None:
        """Raises ValueError if options of several groups contradict."""
        require = options.require
        require(
            not (self.early_stopping and self.reranker_passes),
            "early_stopping",
            "0 with reranker_passes, which are made after the last epoch",
            self,
        )
        require(
            bool(self.validation_fraction) or not self.early_stopping,
            "early_stopping",
            "0 unless validation_fraction is above 0: nothing is tuned on a "
            "test split",
            self,
        )
        require(
            not (self.word_vectors and self.token_units == "subwords"),
            "word_vectors",
            "empty with token_units=subwords, whose pieces have none",
            self,
        )
        head = heads.HEADS.options(self.head)
        require(
            not (head.models_sets and self.reranker_passes),
            "reranker_passes",
            f"0 with head={self.head}, whose sets the re-ranker has no part in",
            self,
        )
        encoder = encoders.ENCODERS.options(self.encoder)
        require(
            encoder.gives_states or not head.reads_states,
            "head",
            f"one that reads one vector an instance with encoder={self.encoder}"
            ", which has no states of words",
            self,
        )
        is_linear = encoder.passes_rows(self)
        require(
            not (self.mixup and (head.reads_states or is_linear)),
            "mixup",
            "0 unless an encoder makes one vector of an instance",
            self,
        )
        require(
            not (head.needs_encoder and is_linear),
            "head",
            "one that reads rows in a linear model: hidden_units is empty",
            self,
        )
        require(
            self.head_optimizer == "same" or not is_linear,
            "head_optimizer",
            "same for a linear model, whose head is all there is",
            self,
        )
        require(
            not self.batch_nonzeros or self.form != "padded",
            "batch_nonzeros",
            "0 with form=padded, whose shapes are static",
            self,
        )

    def replace(self, **changes: Any) -> Config:
        """Returns the recipe with some of its fields changed."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """Returns the recipe as JSON that `from_json` reads."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Returns the recipe that `to_json` wrote."""
        values = json.loads(text)
        for field in dataclasses.fields(cls):
            if isinstance(field.default, tuple) and field.name in values:
                values[field.name] = tuple(values[field.name])
        return cls(**values)


def differences(first: Config, second: Config) -> list[str]:
    """Returns a line for each field in which two configs differ."""
    return [
        f"{field.name}: {getattr(first, field.name)!r} and "
        f"{getattr(second, field.name)!r}"
        for field in dataclasses.fields(Config)
        if getattr(first, field.name) != getattr(second, field.name)
    ]


def field_type(field: dataclasses.Field) -> type:
    """Returns the plain type of a field's values."""
    return options.value_type(Config, field)
