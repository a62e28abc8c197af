"""What the fuzzers start from, and what they have found, by every target."""

import base64
import json
import pathlib
import sys

import pytest

from tfxml.data import checked_files

sys.path.insert(0, str(pathlib.Path(__file__).parent / "fuzz"))
import fuzz_targets  # noqa: E402


def _manifest_with(files=None, **members):
    """Returns what the target of manifests starts from, changed."""
    *_, seed = fuzz_targets.make("records_manifest").seeds
    manifest = {**json.loads(seed), **members}
    if files is not None:
        manifest["splits"]["train"]["shards"][0]["files"] = files
    return json.dumps(manifest).encode()


def _sealed(values):
    return json.dumps(checked_files.sealed(values)).encode()


# Inputs that once did harm, or could, by target.
FOUND = [
    (
        "archives",  # a member without a name
        base64.b64decode(
            "UEsDBBQAAAAAAPJSel1LoPTJBgAAAAYAAAALAAAAYS90cmFpbi50eHQxIDIgMwpQ"
            "SwECAAAUABQDAADyUnpdS6D0yQYAAAAGAAAACwAAAAAAAAAAAAAAgAEAAAEAAAAA"
            "AAAAbi50eHRQSwUGAAAAAAEAAQA5AAAALwAAAAAA"
        ),
    ),
    # Checksums of records that are none, and not of every file.
    ("records_manifest", _manifest_with({"units": {"bytes": 48}})),
    (
        "records_manifest",
        _manifest_with(
            {suffix: {"bytes": 48} for suffix in ("index", "units", "values")}
        ),
    ),
    *(
        ("records_manifest", _manifest_with(token_dtype=dtype))
        for dtype in ("(/,)i4", "O", None)
    ),
    *(("run_manifest", _sealed({"files": {}, "noted": x})) for x in (5, [5])),
    # A type of numbers that NumPy takes for Python.
    ("serving", b'{"array": [0], "dtype": "(/,)i4"}'),
    # Two labels of one name.
    (
        "arff",
        b"@relation 'a: -C 2'\n@attribute c {0,1}\n@attribute c {0,1}\n"
        b"@attribute d numeric\n@data\n0,1,2\n",
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
