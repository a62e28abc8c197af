"""Options of the MACH head."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from tfxml import options as options_lib
from tfxml.mach import mach_choices
from tfxml.models import module_options, sites


@dataclasses.dataclass(frozen=True)
class MachOptions(module_options.ModuleOptions):
    """Options of the MACH head."""

    needs_encoder: ClassVar[bool] = False

    num_repetitions: int = options_lib.option(
        16,
        "MACH: independent hashes and classifiers, R.",
        minimum=1,
        maximum=options_lib.MOST_PARTS,
    )
    num_buckets: int = options_lib.option(
        0,
        "MACH: buckets of a repetition, B. 0: about 4 sqrt(L).",
        minimum=0,
    )
    num_encoders: int = options_lib.option(
        1,
        "MACH: encoders. 1: shared by all repetitions; R: one for each. Must "
        "divide R.",
        minimum=1,
    )
    estimator: str = options_lib.option(
        "logit",
        "MACH: how the scores of the repetitions combine.",
        choices=mach_choices.ESTIMATORS,
    )
    hash_seed: int = options_lib.option(0, "MACH: seed of the label hashes.")
    label_capacity: int = options_lib.option(
        0,
        "MACH: the most labels that the hashes can take when labels are added "
        "later. 0: a quarter more than there are.",
        minimum=0,
    )
    decode: str = options_lib.option(
        "auto",
        "MACH: how the best labels are found. exhaustive scores every label, "
        "threshold only those in opened buckets, with the same answer. auto: "
        "the cheaper one.",
        choices=mach_choices.DECODES,
    )

    @classmethod
    def check(cls, options: Any) -> None:
        """Raises ValueError unless the encoders divide the repetitions."""
        options_lib.require(
            options.num_repetitions % options.num_encoders == 0,
            "num_encoders",
            f"a divisor of num_repetitions={options.num_repetitions}",
            options,
        )


def decode_by(options: MachOptions, site: sites.Site) -> str:
    """Returns the decode to use; static shapes allow only `exhaustive`."""
    if site.form != "padded":
        return options.decode
    if options.decode == "threshold":
        raise ValueError(
            "`decode` must not be 'threshold' for padded rows: it has no "
            "static shapes. Received: decode='threshold'"
        )
    return "exhaustive"
