"""Options of reading: what the files themselves do not say."""

from __future__ import annotations

import dataclasses

from tfxml import options

ONE_BASED = ("auto", "yes", "no", "features", "labels")


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How the files of a data set are read; the defaults fit most."""

    format: str = options.option(
        "auto",
        "The format of --data_dir, where its file names fit several. "
        "auto: what the names and first lines say.",
    )
    one_based: str = options.option(
        "auto",
        "Text files: whether ids start at 1. auto: in files without a header "
        "if no id is 0, features and labels apart; never under a header. "
        "features, labels: only those.",
        choices=ONE_BASED,
    )
    text_columns: tuple[str, ...] = options.option(
        (),
        "Tables and JSON lines: the columns that hold text, joined by a "
        "space. Empty: title, abstract, text, content and the like.",
    )
    title_weight: int = options.option(
        1,
        "Tables and JSON lines: how often a title (or headline) beside other "
        "text is read. 2 counts its words twice.",
        minimum=1,
        maximum=9,
    )
    label_column: str = options.option(
        "",
        "Tables and JSON lines: the column that holds the labels. Empty: "
        "labels, tags, categories and the like.",
    )
    label_separator: str = options.option(
        "",
        "Tables and JSON lines: what separates the labels in one string. "
        "Empty: for CSV and TSV the first of | ; , that occurs; elsewhere a "
        "string is one label.",
    )
    weight_column: str = options.option(
        "",
        "Tables and JSON lines: the column that holds the weight of each "
        "instance. Empty: all weigh the same.",
    )
    test_fraction: float = options.option(
        0.0,
        "Share of the rows to hold out as the test split, where the data have "
        "none.",
        minimum=0,
    )
    split_seed: int = options.option(
        0, "Which rows --test_fraction takes.", minimum=0
    )

    def check_read(self) -> None:
        """Raises ValueError if an option of reading is out of range."""
        options.require(
            self.test_fraction < 1, "test_fraction", "below 1", self
        )


def given(options: ReadOptions) -> dict:
    """Returns the options that are not at their defaults, as JSON has them."""
    return {
        field.name: list(value) if isinstance(value, tuple) else value
        for field in dataclasses.fields(ReadOptions)
        if (value := getattr(options, field.name)) != field.default
    }


TABLE = (
    "text_columns",
    "title_weight",
    "label_column",
    "label_separator",
    "weight_column",
)
DEFAULTS = ReadOptions()
