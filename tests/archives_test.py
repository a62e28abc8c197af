"""Archives that would do harm: refused, with nothing left."""

import io
import os
import tarfile
import zipfile

import pytest

from tfxml.data import data_errors
from tfxml.data.catalogue import archives


def zipped(members, **words):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **words) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def tarred(members, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                file.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def link(name, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


FILES = {"set/train.txt": b"1 2 2\n0 1:1\n", "set/test.txt": b"1 2 2\n1 0:1\n"}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_archives_come_out(tmp_path, pack):
    (tmp_path / "a").write_bytes(pack(FILES))
    assert archives.unpack(tmp_path / "a", tmp_path / "out") == list(FILES)
    for name, content in FILES.items():
        assert (tmp_path / "out" / name).read_bytes() == content


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "a/../../evil", "C:/evil", "..\\evil"]
)
def test_names_outside_are_refused(tmp_path, pack, name):
    (tmp_path / "a").write_bytes(pack({"good": b"x", name: b"evil"}))
    with pytest.raises(data_errors.DataError, match="names below the folder"):
        archives.unpack(tmp_path / "a", tmp_path / "below" / "out")
    assert sorted(os.listdir(tmp_path)) == ["a", "below"]
    assert not os.listdir(tmp_path / "below")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(tmp_path, kind):
    (tmp_path / "a").write_bytes(tarred({"x": link("x", kind)}))
    with pytest.raises(data_errors.DataError, match="plain files"):
        archives.unpack(tmp_path / "a", tmp_path / "out")


def test_a_link_in_a_zip_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        info = zipfile.ZipInfo("x")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    (tmp_path / "a").write_bytes(buffer.getvalue())
    with pytest.raises(data_errors.DataError, match="plain files"):
        archives.unpack(tmp_path / "a", tmp_path / "out")


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_bombs_are_refused_before_they_fill_the_disk(
    tmp_path, pack, monkeypatch
):
    monkeypatch.setattr(archives, "_SMALL", 1 << 16)
    (tmp_path / "a").write_bytes(pack({"zeros": bytes(1 << 24)}))
    with pytest.raises(data_errors.DataError, match="at most 200 times"):
        archives.unpack(tmp_path / "a", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    (tmp_path / "a").write_bytes(zipped({str(i): b"" for i in range(4)}))
    with pytest.raises(data_errors.DataError, match="more than 3 files"):
        archives.unpack(tmp_path / "a", tmp_path / "out")


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("size", [0.1, 0.5, 0.9])
def test_damaged_archives_are_refused(tmp_path, pack, size):
    content = pack({"a": os.urandom(50_000)})
    (tmp_path / "a").write_bytes(content[: int(size * len(content))])
    with pytest.raises(data_errors.DataError):
        archives.unpack(tmp_path / "a", tmp_path / "out")
    assert not (tmp_path / "out").exists()
