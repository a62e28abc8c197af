"""What the system refuses: one paragraph, and nothing lost.

Each command meets a full disk, a disk that can only be read, a folder that it
may not write to or read, too few file handles, and a clock that is set back.
Once the cause is gone, the same command ends as if it had never been there.
"""

import contextlib
import errno
import os
import pathlib
import shutil
import subprocess

import kills_test
import pytest

killer, given, whole = kills_test.killer, kills_test.given, kills_test.whole
pytestmark = pytest.mark.slow

_WORDS = {number: os.strerror(number) for number in errno.errorcode}


def _predict(given, out):
    source = given.base / "in.jsonl"
    source.write_text('{"title": "word1"}\n' * 99)
    return [
        f"--workdir={given.run}",
        f"--input={source}",
        f"--output={out / 'x'}",
    ]


def _rerank(given, out):
    return [
        *[f"--workdir={given.run}", f"--output={out / 'x'}"],
        *["--reranker_passes=1", "--num_hard_negatives=3"],
    ]


def _report(given, out):
    return [f"--workdir={given.run}", f"--output={out / 'x.html'}"]


def _probe(given, out):
    training = [*kills_test._TRAIN, given.data, "--num_steps=2"]
    return [*training, f"--output={out / 'x'}"]


def _evaluate(given, out):
    return [f"--workdir={given.run}", f"--label_figures={out / 'x.csv'}"]


COMMANDS = {**kills_test.COMMANDS, "predict": _predict}
WRITERS = [name for name in COMMANDS if name != "download"]
# What is tried of them is less.
OTHERS = {
    "rerank": _rerank,
    "report": _report,
    "probe": _probe,
    "evaluate": _evaluate,
}


def _words(name, given, out):
    if name == "predict" or name in OTHERS:
        out.mkdir(exist_ok=True)
    return {**COMMANDS, **OTHERS}[name](given, out)


def _run(killer, name, words, under=""):
    code, _, text = killer.run(
        kills_test._module(name), words, "/nothing", under=under
    )
    return code, text


def _assert_refused(code, text, *causes):
    """One paragraph that names a file and the system's cause."""
    assert code == 1, text[-3000:]
    assert "Traceback" not in text and "bug of tfxml" not in text, text[-3000:]
    last = text[text.index("FATAL ") :]
    assert any(_WORDS[cause] in last for cause in causes), last
    assert "/" in last, last


def _assert_recovers(killer, name, words, out, wanted):
    code, text = _run(killer, name, words)
    assert code == 0, text[-3000:]
    assert kills_test._content(out) == wanted


@contextlib.contextmanager
def _disk(folder, options):
    """Mounts a disk in memory."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _wanted(name, killer, given, whole, tmp_path):
    if name != "predict":
        return whole(name)[0]
    (tmp_path / "wanted").mkdir()
    words = _words(name, given, tmp_path / "wanted")
    assert _run(killer, name, words)[0] == 0
    return kills_test._content(tmp_path / "wanted")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(name, killer, given, whole, tmp_path):
    wanted = _wanted(name, killer, given, whole, tmp_path)
    with _disk(tmp_path / "disk", "size=64m") as disk:
        out = disk / "out"
        words = _words(name, given, out)
        with open(disk / "ballast", "wb") as ballast:
            with contextlib.suppress(OSError):
                while True:
                    ballast.write(bytes(1 << 20))
                    ballast.flush()
        for room in (0, 8 << 10):
            os.truncate(disk / "ballast", (64 << 20) - room)
            code, text = _run(killer, name, words)
            if code == 0 and room:  # all that it writes has room
                break
            _assert_refused(code, text, errno.ENOSPC)
        (disk / "ballast").unlink()
        if name == "export second version" and code == 0:
            return
        _assert_recovers(killer, name, words, out, wanted)


@pytest.mark.parametrize("name", [*COMMANDS, *OTHERS])
def test_a_disk_that_is_read_only(name, killer, given, tmp_path):
    with _disk(tmp_path / "disk", "size=64m") as disk:
        words = _words(name, given, disk / "out")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        _assert_refused(*_run(killer, name, words), errno.EROFS)


@pytest.fixture
def open_folder(given, tmp_path):
    """Returns a folder that other users reach, as they do what is given."""
    if os.geteuid():
        pytest.skip("another user needs the right to become one")
    python = pathlib.Path(os.__file__)  # whose modules are imported when needed
    if not all(os.stat(path).st_mode & 1 for path in python.parents):
        pytest.skip(f"another user cannot reach {python.parent}")
    for path in (given.base, tmp_path):
        for parent in (path, *path.parents):
            if os.stat(parent).st_uid == os.getuid() and parent.is_relative_to(
                tmp_path.parents[1]
            ):
                parent.chmod(parent.stat().st_mode | 0o055)
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_no_right_to_write(name, killer, given, open_folder):
    words = _words(name, given, open_folder / "out")
    before = kills_test._content(open_folder)
    code, text = _run(killer, name, words, "nobody")
    _assert_refused(code, text, errno.EACCES, errno.EPERM)
    assert kills_test._content(open_folder) == before


@pytest.mark.parametrize("name", WRITERS)
def test_no_right_to_read(name, killer, given, open_folder):
    words = _words(name, given, open_folder / "out")
    if name == "merge":
        given = kills_test._Given  # its run directory is what it reads
    hidden = open_folder / "hidden"
    hidden.mkdir()
    inputs = [
        word.partition("=")[2]
        for word in words
        if word.startswith(("--workdir=", "--data_dir="))
        and pathlib.Path(word.partition("=")[2]).exists()
    ]
    copy = hidden / "copy"
    shutil.copytree(inputs[0], copy)
    copy.chmod(0o700)
    words = [word.replace(inputs[0], str(copy)) for word in words]
    (open_folder / "out").mkdir(exist_ok=True)
    (open_folder / "out").chmod(0o777)
    code, text = _run(killer, name, words, "nobody")
    _assert_refused(code, text, errno.EACCES)


@pytest.mark.parametrize("name", COMMANDS)
def test_too_few_handles(name, killer, given, whole, tmp_path):
    wanted = _wanted(name, killer, given, whole, tmp_path)
    out = tmp_path / "out"
    words = _words(name, given, out)
    code, text = _run(killer, name, words, "few handles")
    if code:
        assert code == 1, text[-3000:]
        assert "FATAL " in text and "bug of tfxml" not in text, text[-3000:]
        assert _WORDS[errno.EMFILE] in text, text[-3000:]
        _assert_recovers(killer, name, words, out, wanted)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_clock_that_is_set_back(name, killer, given, whole, tmp_path):
    wanted = _wanted(name, killer, given, whole, tmp_path)
    out = tmp_path / "out"
    words = _words(name, given, out)
    code, text = _run(killer, name, words, "clock")
    assert code == 0, text[-3000:]
    assert kills_test._content(out) == wanted
