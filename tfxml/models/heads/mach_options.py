"""Options of the MACH head."""

from __future__ import annotations

import dataclasses

from tfxml import options as options_lib
from tfxml.mach import decode, label_decoder
from tfxml.models import sites


@dataclasses.dataclass(frozen=True)
class MachOptions:
    """Options of the MACH head."""

    num_repetitions: int = options_lib.option(
        16, "MACH: independent hashes and classifiers, R.", minimum=1
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
        choices=decode.ESTIMATORS,
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
        choices=label_decoder.DECODES,
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
