"""Values that no flag was made for: refused in one paragraph, or of use.

Every flag of `train`, those of the recipe too, and of `serve` gets each of
VALUES. Nothing may hang, take all memory, end in a traceback, or end well with
weights or metrics that are not finite; and what must be another value is said
before the first epoch.
"""

import json
import math
import re

import help_test
import killing
import pytest
import runs

pytestmark = pytest.mark.slow

VALUES = ["nan", "inf", "-1", "0", "1e30", "1" + 30 * "0", "1000000000", ""]
RECIPE = [
    "--synthetic_labels=20",
    "--synthetic_train=130",
    "--synthetic_test=30",
    "--hidden_units=4",
    "--batch_size=64",
    "--num_epochs=1",
    "--num_repetitions=2",
    "--num_buckets=5",
]
# What makes a flag count, by how its name begins.
WITH = {
    "centroid": ["--head=centroid"],
    "reranker": ["--reranker_passes=1", "--num_hard_negatives=3"],
    "num_hard_negatives": ["--reranker_passes=1"],
    "num_candidates": ["--reranker_passes=1", "--num_hard_negatives=3"],
    "sigmoid": ["--head=sigmoid"],
    "focal": ["--loss=focal"],
    "asymmetric": ["--loss=asymmetric"],
    "huber": ["--loss=huber"],
    "transformer": ["--encoder=transformer"],
    "average": ["--average=ema"],
}
# What is sent elsewhere, ends a command, or reads a file as flags.
LEFT_OUT = {"flagfile", "tpu", "tpu_zone", "gcp_project", "help", "log_to"}


@pytest.fixture(scope="module")
def killer():
    with killing.Killer() as started:
        yield started


@pytest.fixture(scope="module")
def run(killer, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run"
    words = [*RECIPE, f"--workdir={path}"]
    code, _, text = killer.run("tfxml.train", words, "/nothing")
    assert code == 0, text[-3000:]
    return path


def _flags(module):
    """Returns the names of a command's flags that take a value."""
    _, output, _, _ = runs.with_imports(module, "--help")
    names = re.findall(r"^  --(\w+)=", output, re.M)
    assert len(names) > 10
    return [name for name in names if name not in LEFT_OUT]


def _beside(name):
    """Returns the other flags with which one is tried."""
    wanted = [words for start, words in WITH.items() if name.startswith(start)]
    return [word for words in wanted for word in words]


def _is_finite(value):
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("module", ["tfxml.train", "tfxml.serve"])
def test_values_of_no_use(module, value, killer, run, tmp_path):
    complaints = []
    for number, name in enumerate(_flags(module)):
        path = tmp_path / str(number)
        if module == "tfxml.serve":
            words, under = [f"--workdir={run}", "--port=0"], "nobody asks"
        else:
            words = [*RECIPE, *_beside(name), f"--workdir={path}"]
            under = "in bounds"
        words.append(f"--{name}={value}")
        code, _, text = killer.run(module, words, tmp_path, under=under)
        said = len(re.findall("^FATAL ", text, re.M))
        is_right = (code, said) in ((0, 0), (1, 1))
        if re.search("^FATAL .* must ", text, re.M):
            is_right &= "epoch 1:" not in text
        result = path / "result.json"
        if code == 0 and result.exists():
            is_right &= _is_finite(json.loads(result.read_text()))
        if not is_right or "Traceback" in text:
            complaints.append((name, value, code, text[-1500:]))
    assert not complaints, "\n\n".join(map(str, complaints))


def test_what_is_left_out_is_there():
    """So that a flag that is renamed is tried again."""
    _, output, _, _ = runs.with_imports("tfxml.train", "--help")
    known = set(re.findall(r"^  --(\w+)", output, re.M))
    assert LEFT_OUT <= known
    assert "tfxml.train" in help_test.COMMANDS
