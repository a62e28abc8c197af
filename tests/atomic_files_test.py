"""Files and folders that are there whole or not at all, and their sums."""

import os

import pytest

from tfxml.data import atomic_files, checked_files, data_errors


def test_a_file_gives_way_at_once(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with open(path) as reader:
        atomic_files.write_bytes(path, b"new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(TypeError):
        atomic_files.write_bytes(path, "no bytes")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_comes_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "a"
    with atomic_files.new_folder(path) as beside:
        (beside / "x").write_text("1")
        assert not path.exists()
    assert (path / "x").read_text() == "1"
    with pytest.raises(FileExistsError, match="deep/a"):
        with atomic_files.new_folder(path):
            raise AssertionError
    with pytest.raises(KeyError):
        with atomic_files.new_folder(path, is_replacing=True) as beside:
            (beside / "x").write_text("2")
            raise KeyError
    assert (path / "x").read_text() == "1"
    with atomic_files.new_folder(path, is_replacing=True) as beside:
        (beside / "y").write_text("2")
    assert [p.name for p in path.iterdir()] == ["y"]
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_folder_is_free(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    assert not atomic_files.is_free(tmp_path / "link")
    assert not atomic_files.is_free(tmp_path / "file")
    assert not atomic_files.is_free(tmp_path)
    (tmp_path / "empty").mkdir()
    assert atomic_files.is_free(tmp_path / "empty")
    assert atomic_files.is_free(tmp_path / "none")
    with atomic_files.new_folder(tmp_path / "empty") as beside:
        (beside / "x").touch()
    assert (tmp_path / "empty" / "x").is_file()


def test_leftovers_go_and_nothing_else(tmp_path):
    kept = {"a", ".a.writing", "a.writing-0123abcd", ".b.removing-0123abcd"}
    for name in kept | {".a.writing-0123abcd", ".a.removing-0123abcd"}:
        (tmp_path / name).mkdir()
    (tmp_path / ".a.writing-0123abcf").touch()
    atomic_files.remove_leftovers(tmp_path, "a")
    assert {path.name for path in tmp_path.iterdir()} == kept
    atomic_files.remove_leftovers(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == kept - {".b.removing-0123abcd"}
    atomic_files.remove_leftovers(tmp_path / "none")


def test_what_a_link_leads_to_is_not_removed(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    atomic_files.remove(tmp_path / "link")
    assert os.listdir(tmp_path) == ["kept"]


@pytest.mark.parametrize(
    ("content", "found"),
    [(None, "no such file"), (b"abc", "3 bytes"), (b"abce", "content with")],
)
def test_damage_is_named(content, found, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abcd")
    expected = checked_files.digest(path)
    assert checked_files.read(path, expected) == b"abcd"
    checked_files.check(path, expected)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for function in (checked_files.read, checked_files.check):
        with pytest.raises(data_errors.DataError, match=f"a: found {found}"):
            function(path, expected)


def test_a_sealed_file_tells_every_flipped_bit(tmp_path):
    path = tmp_path / "a.json"
    values = {"files": {"\u00e4": [1, 2.5]}, "step": 3}
    checked_files.write_sealed(path, values)
    assert checked_files.read_sealed(path) == values
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            # Space may become another space, which changes nothing.
            try:
                assert checked_files.read_sealed(path) == values
            except data_errors.DataError as error:
                assert str(path) in str(error)
