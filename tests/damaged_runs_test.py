"""Each file of a run directory, damaged, met by each command.

What a command does not read changes nothing; all else is one paragraph that
names the file, or is made again. Nothing ends in a traceback, and no answer is
another one.
"""

import re
import shutil

import kills_test
import pytest

killer, given = kills_test.killer, kills_test.given
pytestmark = pytest.mark.slow

TRAIN = [
    *kills_test._TRAIN,
    *("--reranker_passes=1", "--num_hard_negatives=3"),
]


def _predict(*words):
    def command(given, run, out):
        source = given.base / "in.jsonl"
        source.write_text('{"title": "word1 word2"}\n{"title": "word3"}\n')
        return "tfxml.predict", [
            *[f"--workdir={run}", f"--input={source}", f"--output={out}"],
            *words,
        ]

    return command


def _evaluate(given, run, out):
    return "tfxml.evaluate", [f"--workdir={run}", f"--label_figures={out}"]


def _export(given, run, out):
    words = [f"--workdir={run}", f"--output={out}", "--format=keras"]
    return "tfxml.export.__main__", words


def _train(given, run, out):
    return "tfxml.train", [*TRAIN, given.data, f"--workdir={run}"]


def _report(given, run, out):
    return "tfxml.report", [f"--workdir={run}", f"--output={out}"]


def _diagnose(given, run, out):
    words = [given.data, "--split=dev", f"--output={out}"]
    return "tfxml.diagnose", [f"--workdir={run}", *words]


def _serve(given, run, out):
    return "tfxml.serve", [f"--workdir={run}", "--port=0"]


COMMANDS = {
    "predict": _predict(),
    "predict by tensorflow": _predict("--runtime=tensorflow"),
    "evaluate": _evaluate,
    "export": _export,
    "train": _train,
    "report": _report,
    "diagnose": _diagnose,
    "serve": _serve,
}


def _flipped(content):
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES = {
    "flipped": _flipped,
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "of something else": lambda content: b'{"a": [1]}\n',
    "gone": None,
}


@pytest.fixture(scope="module")
def run(killer, given):
    """Returns a trained run, calibrated, with a report's figures."""
    path = given.base / "damaged"
    words = [*TRAIN, given.data, f"--workdir={path}"]
    _asserted(*killer.run("tfxml.train", words, "/nothing"))
    data = given.base / "data"
    shutil.copy(data / "trn.json", data / "val.json")
    words = [f"--workdir={path}", "--split=dev"]
    _asserted(*killer.run("tfxml.calibrate", words, "/nothing"))
    return path


def _asserted(code, _, text):
    assert code == 0, text[-3000:]
    return text


@pytest.fixture(scope="module")
def wanted(killer, given, run, tmp_path_factory):
    """Returns what each command does with a run that is whole."""
    known = {}

    def of(name):
        if name not in known:
            folder = tmp_path_factory.mktemp("whole")
            shutil.copytree(run, folder / "run")
            code, text, left = _meet(killer, given, name, folder)
            assert code == 0, text[-3000:]
            known[name] = left
        return known[name]

    return of


def _meet(killer, given, name, folder):
    """Runs a command; returns its code, what it says, and what it leaves."""
    out = folder / "out"
    module, words = COMMANDS[name](given, folder / "run", out)
    under = "nobody asks" if name == "serve" else "in bounds"
    code, _, text = killer.run(module, words, folder, under=under)
    return code, text, _left(name, folder, text)


def _left(name, folder, text):
    """Returns what a command comes to, but for times and places."""
    out = folder / "out"
    if name.startswith(("predict", "evaluate")):
        figures = re.findall(r"^[ \d.]+$", text, re.M)
        return (out.read_bytes() if out.exists() else None), figures
    if name == "train":
        weights = kills_test._content(folder / "run")
        return {
            path: content
            for path, content in weights.items()
            if "checkpoints" in path or path == "metrics.jsonl"
        }
    return out.exists()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_damaged_file(name, damage, killer, given, run, wanted, tmp_path):
    right = wanted(name)
    complaints = []
    paths = sorted(path for path in run.rglob("*") if path.is_file())
    for number, path in enumerate(paths):
        folder = tmp_path / str(number)
        shutil.copytree(run, folder / "run")
        damaged = folder / "run" / path.relative_to(run)
        change = DAMAGES[damage]
        if change is None:
            damaged.unlink()
        elif path.stat().st_size:
            damaged.write_bytes(change(path.read_bytes()))
        code, text, left = _meet(killer, given, name, folder)
        said = [text[at.start() :] for at in re.finditer("FATAL ", text)]
        is_named = code == 1 and len(said) == 1 and str(folder) in said[0]
        is_right = code == 0 and not said and left == right
        if "Traceback" in text or not (is_named or is_right):
            complaints.append((str(path.relative_to(run)), code, text[-1500:]))
        shutil.rmtree(folder)
    assert not complaints, "\n\n".join(map(str, complaints))
