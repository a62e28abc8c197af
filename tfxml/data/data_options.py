"""Options of the data: the data set, its splits, and the generated set."""

from __future__ import annotations

import dataclasses

from tfxml import options
from tfxml.data import bad_rows as bad_rows_lib
from tfxml.data.catalogue import known_sets

ZIPF_EXPONENTS = (0.875, 1.125, 1.25, 1.5)  # whose powers are exact


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Which instances are trained on and evaluated."""

    dataset: str = options.option(
        "auto",
        "The data set. auto: the folder --data_dir if given, else the "
        "generated set. A name of the Extreme Classification Repository is "
        "downloaded to --data_dir (data/<name> if empty) unless it is there.",
        choices=("auto", "folder", "synthetic", *known_sets.names()),
    )
    eval_split: str = options.option(
        "auto",
        "The split to evaluate. auto: test if there is one, else dev. "
        "validation needs --validation_fraction.",
        choices=("auto", "dev", "test", "validation"),
    )
    validation_fraction: float = options.option(
        0.0,
        "Share of the training split to hold out. It is evaluated in place of "
        "the test split, for early stopping and the best checkpoint.",
        minimum=0,
    )
    synthetic_labels: int = options.option(
        1000, "Labels of the generated set.", minimum=8
    )
    synthetic_train: int = options.option(
        16000, "Training instances of the generated set.", minimum=1
    )
    synthetic_test: int = options.option(
        4000, "Test instances of the generated set.", minimum=1
    )
    synthetic_dependence: float = options.option(
        0.0,
        "How often the labels of a topic are drawn together, in [0, 1]. The "
        "marginal probabilities stay the same.",
        minimum=0,
    )
    synthetic_exponent: float = options.option(
        0.875,
        "Zipf exponent of topic popularity in the generated set, one of "
        + ", ".join(map(str, ZIPF_EXPONENTS))
        + ".",
    )
    synthetic_seed: int = options.option(0, "Seed of the generated set.")
    bad_rows: str = options.option(
        "error",
        "What to do with rows that cannot be read. skip: count and report.",
        choices=bad_rows_lib.POLICIES,
    )
    normalize_rows: bool = options.option(
        True,
        "L2-normalise each feature row. Ignored for text, whose TF-IDF rows "
        "already are.",
    )

    def check_data(self) -> None:
        """Raises ValueError if the options of the data contradict."""
        require = options.require
        require(
            self.validation_fraction < 1,
            "validation_fraction",
            "below 1",
            self,
        )
        require(
            self.synthetic_dependence <= 1,
            "synthetic_dependence",
            "in [0, 1]",
            self,
        )
        require(
            self.synthetic_exponent in ZIPF_EXPONENTS,
            "synthetic_exponent",
            f"one of {ZIPF_EXPONENTS}",
            self,
        )
        require(
            bool(self.validation_fraction) or self.eval_split != "validation",
            "eval_split",
            "another split unless validation_fraction is above 0",
            self,
        )
