"""Values that no flag was made for: refused in one paragraph, or of use.

Every flag of `train`, those of the recipe too, and of `serve` gets each of
VALUES. Nothing may hang, take all memory, end in a traceback, or end well with
weights or metrics that are not finite; and what must be another value is said
before the first epoch.
"""

import json
import math
import re
import signal

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
    "reranker": ["--reranker_passes=1", "--num_hard_negatives=3"],
    "num_hard_negatives": ["--reranker_passes=1"],
    "num_candidates": ["--reranker_passes=1", "--num_hard_negatives=3"],
    "average": ["--average=ema"],
}
# As much work as they say: it may take longer than a command is given.
LONG = ("--num_epochs=", "--synthetic_train=", "--synthetic_test=")
# The choices that read texts in order, by themselves or from such an encoder.
OF_STATES = ("label_attention", "decoder")
OF_TEXTS = ("conv", "recurrent", "transformer", "joint", *OF_STATES)
# What is sent elsewhere, ends a command, or reads a file as flags.
LEFT_OUT = {"flagfile", "tpu", "help", "log_to"}


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


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Returns a folder of texts."""
    folder = tmp_path_factory.mktemp("texts")
    names = "".join(json.dumps({"title": f"l{i}"}) + "\n" for i in range(9))
    (folder / "lbl.json").write_text(names)
    for split, number in (("trn", 90), ("tst", 20)):
        rows = [
            {"title": f"w{i % 7} w{i % 5} w{i % 11}", "target_ind": [i % 9]}
            for i in range(number)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.json").write_text(text)
    return folder


def _flags(module):
    """Returns a command's flags that take a value, by the choice they need."""
    _, output, _, _ = runs.with_imports(module, "--help")
    flags, choice = {}, ""
    for line in output.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            choice = line.removesuffix(":").partition("with ")[2]
        elif found := re.match(r"  --(\w+)=", line):
            flags[found[1]] = choice
    assert len(flags) > 10
    return {name: of for name, of in flags.items() if name not in LEFT_OUT}


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


def _complaint(killer, module, words, folder, path):
    """Returns what is wrong with how a command ends, or nothing."""
    under = "nobody asks" if module == "tfxml.serve" else "in bounds"
    code, _, text = killer.run(module, words, folder, under=under)
    said = len(re.findall("^FATAL ", text, re.M))
    is_right = (code, said) in ((0, 0), (1, 1))
    is_right |= code == -signal.SIGALRM and words[-1].startswith(LONG)
    if re.search("^FATAL .* must ", text, re.M):
        is_right &= "epoch 1:" not in text
    result = path / "result.json"
    if code == 0 and result.exists():
        is_right &= _is_finite(json.loads(result.read_text()))
    if is_right and "Traceback" not in text:
        return ""
    return f"{words[-1]} {code} {text[-1500:]}"


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("module", ["tfxml.train", "tfxml.serve"])
def test_values_of_no_use(module, value, killer, run, tmp_path):
    complaints = []
    for number, (name, choice) in enumerate(_flags(module).items()):
        if choice:
            continue
        path = tmp_path / str(number)
        words = [f"--workdir={run}", "--port=0"]
        if module == "tfxml.train":
            words = [*RECIPE, *_beside(name), f"--workdir={path}"]
        words.append(f"--{name}={value}")
        complaints.append(_complaint(killer, module, words, tmp_path, path))
    assert not any(complaints), "\n\n".join(filter(None, complaints))


@pytest.mark.parametrize("value", VALUES)
def test_values_of_no_use_to_a_choice(value, killer, texts, tmp_path):
    """What only one encoder, head or loss reads, with that one."""
    complaints = []
    for number, (name, choice) in enumerate(_flags("tfxml.train").items()):
        if not choice:
            continue
        path = tmp_path / str(number)
        words = [*RECIPE, choice, f"--workdir={path}"]
        if choice.endswith(OF_TEXTS):
            words += [f"--data_dir={texts}", "--min_df=1", "--word_dim=8"]
        if choice.endswith(OF_STATES):
            words.append("--encoder=conv")
        words.append(f"--{name}={value}")
        complaints.append(
            _complaint(killer, "tfxml.train", words, tmp_path, path)
        )
    assert not any(complaints), "\n\n".join(filter(None, complaints))


def test_what_is_left_out_is_there():
    """So that a flag that is renamed is tried again."""
    _, output, _, _ = runs.with_imports("tfxml.train", "--help")
    known = set(re.findall(r"^  --(\w+)", output, re.M))
    assert LEFT_OUT <= known
    assert "tfxml.train" in help_test.COMMANDS
