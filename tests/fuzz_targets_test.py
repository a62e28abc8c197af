"""What the fuzzers start from, and what they have found, by every target."""

import base64
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "fuzz"))
import fuzz_targets  # noqa: E402

# Inputs that once did harm, by target.
FOUND = [
    (
        "archives",  # a member without a name
        base64.b64decode(
            "UEsDBBQAAAAAAPJSel1LoPTJBgAAAAYAAAALAAAAYS90cmFpbi50eHQxIDIgMwpQ"
            "SwECAAAUABQDAADyUnpdS6D0yQYAAAAGAAAACwAAAAAAAAAAAAAAgAEAAAEAAAAA"
            "AAAAbi50eHRQSwUGAAAAAAEAAQA5AAAALwAAAAAA"
        ),
    ),
    # A line of libsvm of a carriage return alone.
    ("text", b"\r#S1:\xb0\xf2\n\n3:\xb0\xf2\n\r"),
]


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_a_target_takes_what_it_starts_from(name):
    target = fuzz_targets.make(name)
    for seed in target.seeds:
        for data in (seed, seed[: len(seed) // 2], seed[::-1], b""):
            target(data)


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_does_no_harm(name, data):
    fuzz_targets.make(name)(data)
