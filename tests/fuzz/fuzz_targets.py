"""What the fuzzers call: takes any bytes, raises documented errors alone.

A target that reads several files takes them from one input, with
`fuzz_inputs.SEPARATOR` between them.
"""

import gzip
import io
import json
import os
import pathlib
import shutil
import tarfile
import tempfile
import zipfile
from concurrent import futures

import fuzz_inputs
import fuzz_run_targets
import numpy as np
import readers_fuzz_test

from tfxml.data import bad_rows, checked_files, requests
from tfxml.data.catalogue import archives
from tfxml.data.formats import detection, folder_files, format_table
from tfxml.data.formats import folder as folder_lib
from tfxml.data.records import record_files, record_source


class InThisThread(futures.Executor):
    """Starts no threads, which would take most of a case's time."""

    def __init__(self, max_workers):
        del max_workers

    def submit(self, function, /, *arguments, **words):
        done = futures.Future()
        try:
            done.set_result(function(*arguments, **words))
        except Exception as error:  # as another thread would keep it
            done.set_exception(error)
        return done


def _of_reader(name):
    read, files = readers_fuzz_test.READERS[name]
    base = tempfile.mkdtemp()
    paths = [os.path.join(base, file_name) for file_name, _ in files]
    written = fuzz_inputs.Files(paths)

    def run(data):
        written.write(data)
        for rows in read(*paths):
            if read.__name__ == "read" and hasattr(rows, "label_ids"):
                readers_fuzz_test.check(rows)

    return fuzz_inputs.Target(
        run, [fuzz_inputs.SEPARATOR.join(content for _, content in files)]
    )


def _of_gzip(name):
    """What is read after it was unpacked: no checksum keeps it away."""
    read, [(file_name, content)] = readers_fuzz_test.READERS[name]
    path = os.path.join(tempfile.mkdtemp(), file_name)

    def run(data):
        pathlib.Path(path).write_bytes(gzip.compress(data, 1))
        list(read(path))

    return fuzz_inputs.Target(run, [gzip.decompress(content)])


def _remember(module, name, is_pure=lambda *arguments: True):
    """Works a function of names out once for each of them."""
    function = getattr(module, name)
    known = {}

    def remembered(*arguments):
        if not is_pure(*arguments):
            return function(*arguments)
        key = tuple(map(str, arguments))
        if key not in known:
            known[key] = function(*arguments)
        return known[key]

    setattr(module, name, remembered)


def _is_by_name(_, files, format):
    """Tells whether no content is asked whether a file is of a format."""
    return format not in format_table.KINDS_OF_TXT or not any(
        ".txt" in file for file in files
    )


def save_time():
    """Spares what costs most of a case's time, in a process that only fuzzes.

    No threads are started, and what names alone decide is decided once: files
    change there, and their names do not.
    """
    futures.ThreadPoolExecutor = InThisThread
    _remember(detection, "_pieces_of", _is_by_name)
    for name in ("listed", "pieces_of", "only_match", "half_pair"):
        _remember(folder_files, name)


def _of_folder(name):
    files = readers_fuzz_test.FOLDERS[name]
    base = pathlib.Path(tempfile.mkdtemp())
    paths = [base / file_name for file_name in files]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
    written = fuzz_inputs.Files(paths)

    def run(data):
        policy = bad_rows.POLICIES[len(data) % len(bad_rows.POLICIES)]
        written.write(data)
        found = folder_lib.detect(str(base))
        for rows in found.read("train", bad_rows.BadRows(policy)):
            readers_fuzz_test.check(rows)

    return fuzz_inputs.Target(run, [fuzz_inputs.SEPARATOR.join(files.values())])


def _of_archived_arrays():
    """The arrays of an npz file, whose checksums are right."""
    path = pathlib.Path(tempfile.mkdtemp()) / "train.npz"
    path.touch()
    beside = path.with_name("beside.npz")
    beside.hardlink_to(path)  # the same bytes, written once
    read = readers_fuzz_test.matrices.read
    with zipfile.ZipFile(io.BytesIO(readers_fuzz_test.npz())) as archive:
        names = archive.namelist()
        seed = fuzz_inputs.SEPARATOR.join(archive.read(name) for name in names)

    def run(data):
        parts = data.split(fuzz_inputs.SEPARATOR)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, part in zip(names, parts, strict=False):
                archive.writestr(name, part)
        path.write_bytes(buffer.getbuffer())
        for rows in read(str(path), str(beside)):
            readers_fuzz_test.check(rows)

    return fuzz_inputs.Target(run, [seed])


def _request_target():
    lines = [
        b'{"text": "a b", "uid": 7}\n\n{"title": "\\u00e4", "content": null}\n',
        b'{"feature_ids": [3, 1, 3], "feature_values": [1, 2.5, -1e-3]}\n',
        b'\xef\xbb\xbf{"text": "a"}\r\n{"text": "\\ud83d\\ude00", "uid": "x"}',
        gzip.compress(b'{"text": "a"}\n', mtime=0),
    ]

    def run(data):
        is_text, is_skipping = len(data) & 1, len(data) & 2
        source = io.BufferedReader(io.BytesIO(data))
        rows = requests.lines(source, "in")
        for row in requests.read(rows, "in", 9, is_text, is_skipping):
            if isinstance(row, requests.Request) and row.text is None:
                ids, values = row.features()
                if len(ids) != len(values) or not np.isfinite(values).all():
                    raise AssertionError(f"{ids} {values}")

    return fuzz_inputs.Target(run, lines)


def _records_target():
    """The manifest of prepared records, its checksum right where it can be."""
    folder = pathlib.Path(tempfile.mkdtemp())
    shard = {"name": "train-00000-of-00001", "num_instances": 2, "files": {}}
    for suffix in record_files.suffixes(True):
        path = record_files.shard_path(folder, shard["name"], suffix)
        path.write_bytes(bytes(24 if suffix == "token_index" else 48))
        shard["files"][suffix] = checked_files.digest(path)
    split = {
        "shards": [shard],
        "num_instances": 2,
        "most_features": 1,
        "most_labels": 1,
        "most_tokens": 1,
    }
    manifest = {
        "num_features": 9,
        "num_labels": 9,
        "settings": {},
        "splits": {"train": split},
        "token_dtype": "uint16",
        "largest_token": 9,
    }
    versions = record_files.VERSION, record_files.TOKENS_VERSION

    def run(data):
        try:
            manifest = dict(json.loads(data))
            fuzz_inputs.write_sealed(folder / record_files.MANIFEST, manifest)
        except (ValueError, TypeError, RecursionError):
            manifest = {}
            (folder / record_files.MANIFEST).write_bytes(data)
        found = folder_lib.detect(str(folder))
        with_tokens = manifest.get("version") == record_files.TOKENS_VERSION
        for name in found.splits:
            record_source.RecordSource(folder, name, with_tokens=with_tokens)

    return fuzz_inputs.Target(
        run,
        [json.dumps({"version": v, **manifest}).encode() for v in versions],
    )


def _shard_target():
    """The files of a shard, their hashes right: any rows come out."""
    folder = pathlib.Path(tempfile.mkdtemp())
    name = record_files.shard_name("train", 0, 1)
    with record_files.ShardWriter(folder, name) as writer:
        text = folder.with_suffix(".txt")
        text.write_bytes(readers_fuzz_test.TEXT)
        rows = readers_fuzz_test.xc_text.read(str(text))
        for run in rows:
            writer.write(run)
        writer.finish({"num_instances": 3})
    paths = [
        record_files.shard_path(folder, name, suffix)
        for suffix in record_files.SUFFIXES
    ]
    seed = fuzz_inputs.SEPARATOR.join(path.read_bytes() for path in paths)

    written = fuzz_inputs.Files(paths)

    def run(data):
        written.write(data)
        digests = zip(record_files.SUFFIXES, written.digests(), strict=True)
        shard = {"name": name, "num_instances": 3, "files": dict(digests)}
        split = {
            "num_instances": 3,
            "most_features": 3,
            "most_labels": 2,
            "shards": [shard],
        }
        manifest = {
            "version": record_files.VERSION,
            "num_features": 9,
            "num_labels": 9,
            "splits": {"train": split},
        }
        fuzz_inputs.write_sealed(folder / record_files.MANIFEST, manifest)
        record_source.RecordSource(folder, "train")

    return fuzz_inputs.Target(run, [seed])


def _archive_target():
    """Nothing is ever written beside the folder."""
    base = pathlib.Path(tempfile.mkdtemp()) / "base"
    base.mkdir()
    path, folder = base / "archive", base / "folder"
    seeds = []
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            archive.writestr("a/train.txt", b"1 2 3\n")
        seeds.append(buffer.getvalue())
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode) as archive:
            info = tarfile.TarInfo("a/train.txt")
            info.size = 6
            archive.addfile(info, io.BytesIO(b"1 2 3\n"))
        seeds.append(buffer.getvalue()[:4096])

    def run(data):
        path.write_bytes(data)
        try:
            archives.unpack(path, folder)
        finally:
            if folder.exists():
                shutil.rmtree(folder)
            if (
                os.listdir(base) != ["archive"]
                or len(os.listdir(base.parent)) > 1
            ):
                raise AssertionError("written beside the folder")

    return fuzz_inputs.Target(run, seeds)


TARGETS = {
    **{name: (_of_reader, name) for name in readers_fuzz_test.READERS},
    "xc_text_unpacked": (_of_gzip, "xc_text_gz"),
    **{name: (_of_folder, name) for name in readers_fuzz_test.FOLDERS},
    "archived_arrays": (_of_archived_arrays,),
    "requests": (_request_target,),
    "run_directory": (fuzz_run_targets.run_directory,),
    "run_manifest": (fuzz_run_targets.run_manifest,),
    "records_manifest": (_records_target,),
    "records_shard": (_shard_target,),
    "archives": (_archive_target,),
    "serving": (fuzz_run_targets.serving,),
    "checkpoint": (fuzz_run_targets.checkpoint,),
}


def make(name):
    """Returns a target by its name."""
    function, *arguments = TARGETS[name]
    return function(*arguments)
