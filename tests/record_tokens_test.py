"""Prepared data: old bytes stay, and tokens lie beside them."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tfxml.data import checked_files, inputs, instances, split_reader
from tfxml.data.feeding import (
    batching,
    in_memory,
    pipeline,
    service_batches,
)
from tfxml.data.formats import folder
from tfxml.data.records import (
    data_card,
    preparing,
    record_files,
    record_format,
    record_source,
)

N, D, L = 60, 90, 12
WORDS = "fishing quotas of the Baltic herring and Käse İstanbul tariffs".split()
FEATURES = {"normalize_rows": True}
TEXT = {
    "unicode_normalization": "NFKC",
    "ngrams": 2,
    "min_df": 1,
    "max_features": None,
    # Roots and quotients alone, which all machines compute alike.
    "sublinear_tf": False,
    "use_idf": False,
    "hash_buckets": None,
}


def _write_features(path):
    for split, number in (("train", N), ("test", 25)):
        rows = [f"{number} {D} {L}"]
        for row in range(number):
            labels = sorted({row % L, row * row % L})
            features = sorted({row % D, 7 * row % D, 70000 % D + row % 3})
            pairs = [f"{f}:{0.25 * (row % 5 + f % 3)}" for f in features]
            rows.append(" ".join([",".join(map(str, labels)), *pairs]))
        (path / f"{split}.txt").write_text("\n".join(rows) + "\n")


def _write_text(path):
    for split, number in (("trn", N), ("tst", 25)):
        rows = []
        for row in range(number):
            title = [WORDS[(row + 1) * place % 10] for place in range(row % 9)]
            labels = sorted({row % L, row * row % L})
            rows.append({"title": " ".join(title), "target_ind": labels})
        content = "".join(json.dumps(row) + "\n" for row in rows)
        (path / f"{split}.json").write_text(content)
    names = (json.dumps({"title": f"l{i}"}) + "\n" for i in range(L))
    (path / "lbl.json").write_text("".join(names))


def _prepare(source, output, settings, **words):
    return preparing.prepare(
        folder.detect(str(source)),
        str(output),
        settings,
        num_shards=3,
        **words,
    )


def _files(path):
    """Returns the manifest and what the shards are made of."""
    found = [path / "records.json", *path.glob("*-of-*"), *path.glob("*.npy")]
    return {file.name: file.read_bytes() for file in found}


# Of version 2, computed before there were tokens.
@pytest.mark.parametrize(
    "write, settings, expected",
    [
        (
            _write_features,
            FEATURES,
            "77bdd75da6bd54b1e1069ed066cba2b3bf2917d21da0c8ce82dd6e9b28806b71",
        ),
        (
            _write_text,
            TEXT,
            "83811961e8d160b672c825c4364bc78a7fd2d0499466993fc7a91cad69cc5756",
        ),
    ],
    ids=["features", "text"],
)
def test_data_without_tokens_keep_their_bytes(
    write, settings, expected, tmp_path
):
    source = tmp_path / "source"
    source.mkdir()
    write(source)
    manifest = _prepare(source, tmp_path / "out", settings)
    assert manifest["version"] == record_files.VERSION
    digest = hashlib.sha256()
    for name, content in sorted(_files(tmp_path / "out").items()):
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    assert digest.hexdigest() == expected


@pytest.fixture(scope="module")
def text_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("text")
    _write_text(path)
    return path


@pytest.fixture(scope="module")
def prepared(text_dir, tmp_path_factory):
    output = tmp_path_factory.mktemp("prepared") / "out"
    manifest = _prepare(text_dir, output, TEXT, with_tokens=True, max_tokens=6)
    data_card.write(output, manifest)
    return output


@pytest.fixture
def copied(prepared, tmp_path):
    """A prepared folder to be damaged."""
    return shutil.copytree(prepared, tmp_path / "copied")


@pytest.fixture(scope="module")
def prepared_plain(text_dir, tmp_path_factory):
    output = tmp_path_factory.mktemp("plain") / "out"
    _prepare(text_dir, output, {**TEXT, "unicode_normalization": "none"})
    return output


def _in_memory(text_dir, output, split):
    """Returns the split as it is read without preparing."""
    features = preparing.load_text_features(output)
    source = folder.detect(str(text_dir))
    found = split_reader.read(
        source, split, features, False, with_tokens=True, max_tokens=6
    )
    return in_memory.InMemorySource(found, features.num_features, L)


def _lists(rows):
    return [ragged.to_list() for ragged in tf.nest.flatten(rows)]


@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_rows_are_those_that_were_read(text_dir, prepared, split, is_mapped):
    here = _in_memory(text_dir, prepared, split)
    on_disk = record_source.RecordSource(
        prepared, split, is_mapped, with_tokens=True
    )
    assert on_disk.max_lengths() == here.max_lengths()
    assert on_disk.max_lengths().tokens == 6  # some texts have more
    everything = np.arange(here.num_instances)
    for indices in (everything, everything[::-3], everything[:0], [7, 7, 0]):
        indices = tf.constant(indices, tf.int64)
        assert _lists(on_disk.rows(indices)) == _lists(here.rows(indices))


@pytest.mark.parametrize("is_mapped", [False, True])
def test_tokens_are_read_only_where_they_are_asked_for(prepared, is_mapped):
    source = record_source.RecordSource(prepared, "train", is_mapped)
    named, _ = source.rows(tf.constant([8, 1], tf.int64))
    assert list(named) == [inputs.FEATURE_IDS, inputs.FEATURE_VALUES]
    assert source.max_lengths().tokens == 0


def test_all_but_the_tokens_is_written_as_without_them(
    text_dir, prepared, tmp_path
):
    _prepare(text_dir, tmp_path / "plain", TEXT)
    plain, with_tokens = _files(tmp_path / "plain"), _files(prepared)
    manifests = [
        json.loads(files.pop("records.json")) for files in (plain, with_tokens)
    ]
    assert plain.items() < with_tokens.items()
    assert {name.split(".")[-1] for name in with_tokens.keys() - plain} == {
        "token_index",
        "tokens",
    }
    assert [manifest["version"] for manifest in manifests] == [2, 3]
    assert manifests[1]["tokens"] == {"max_tokens": 6}
    assert manifests[1]["token_dtype"] == "uint16"
    assert manifests[1]["settings"] == manifests[0]["settings"]
    assert "tokens each" in (prepared / "DATA_CARD.md").read_text()


def test_the_layout_is_as_documented(prepared):
    """Read here by hand, from the description alone."""
    source = record_source.RecordSource(prepared, "test", with_tokens=True)
    rows = []
    for path in sorted(prepared.glob("test-*.token_index")):
        places = np.frombuffer(path.read_bytes(), "<i8")
        tokens = np.frombuffer(path.with_suffix(".tokens").read_bytes(), "<u2")
        rows += [row.tolist() for row in np.split(tokens, places[1:])[:-1]]
    named, _ = source.rows(tf.range(25, dtype=tf.int64))
    assert named[inputs.TOKEN_IDS].to_list() == rows


@pytest.mark.slow
def test_processes_write_the_same_bytes(text_dir, prepared, tmp_path):
    words = {"with_tokens": True, "max_tokens": 6}
    _prepare(text_dir, tmp_path / "two", TEXT, num_workers=2, **words)
    assert _files(tmp_path / "two") == _files(prepared)


class Stop(Exception):
    pass


@pytest.mark.slow
def test_stopped_it_resumes_to_the_same_bytes(text_dir, prepared, tmp_path):
    words = {"with_tokens": True, "max_tokens": 6}
    calls = []

    def stop(*progress):
        calls.append(progress)
        if len(calls) == 5:
            raise Stop

    with pytest.raises(Stop):
        _prepare(text_dir, tmp_path / "out", TEXT, progress=stop, **words)
    for path in sorted((tmp_path / "out").glob("*.tokens"))[-1:]:
        path.write_bytes(path.read_bytes()[:-2])  # a disk that lost the end
    _prepare(text_dir, tmp_path / "out", TEXT, **words)
    assert _files(tmp_path / "out") == _files(prepared)


@pytest.mark.parametrize(
    "words",
    [{}, {"with_tokens": True}, {"with_tokens": True, "max_tokens": 7}],
    ids=str,
)
def test_another_preparation_is_refused(text_dir, prepared, words):
    with pytest.raises(ValueError, match="tokens are others.* there, .* now"):
        _prepare(text_dir, prepared, TEXT, **words)


def test_without_text_there_are_no_tokens(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    _write_features(source)
    with pytest.raises(ValueError, match="`with_tokens` must be False"):
        _prepare(source, tmp_path / "out", FEATURES, with_tokens=True)
    assert not (tmp_path / "out").exists()
    _prepare(source, tmp_path / "out", FEATURES)
    with pytest.raises(ValueError, match="prepared without tokens"):
        record_source.RecordSource(tmp_path / "out", "train", with_tokens=True)


def _as_version_1(output):
    """Rewrites a manifest as it was written before normal forms."""
    path = output / record_files.MANIFEST
    manifest = json.loads(path.read_text())
    manifest["version"] = 1
    del manifest["sha256"], manifest["files"]
    assert manifest["settings"].pop("unicode_normalization") == "none"
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("is_mapped", [False, True])
def test_version_1_is_read(prepared_plain, tmp_path, is_mapped):
    old = shutil.copytree(prepared_plain, tmp_path / "old")
    _as_version_1(old)
    indices = tf.range(N, dtype=tf.int64)
    rows_of_old, rows = (
        record_source.RecordSource(path, "train", is_mapped).rows(indices)
        for path in (old, prepared_plain)
    )
    assert _lists(rows_of_old) == _lists(rows)


@pytest.mark.parametrize("version", [0, 4, "3", None])
def test_another_version_is_refused(copied, version):
    path = copied / record_files.MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "version": version}))
    with pytest.raises(ValueError, match="found version .*; needed 1 to 3"):
        record_source.RecordSource(copied, "train")


@pytest.mark.parametrize("suffix", ["token_index", "tokens"])
def test_a_file_that_was_cut_is_refused(copied, suffix):
    path = sorted(copied.glob(f"train-*.{suffix}"))[1]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{path.name}: found .* bytes"):
        record_source.RecordSource(copied, "train")
    path.unlink()
    with pytest.raises(ValueError, match=f"{path.name}: found no such file"):
        record_source.RecordSource(copied, "train")


def _damage(path, dtype, place, value):
    content = np.fromfile(path, dtype)
    content[place] = value
    content.tofile(path)
    _seal(path.parent)


def _seal(folder):
    """Makes all hashes right, as one would who means harm."""
    path = folder / record_files.MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["sha256"]
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            for suffix in shard["files"]:
                shard["files"][suffix] = checked_files.digest(
                    record_files.shard_path(folder, shard["name"], suffix)
                )
    record_files.write_manifest(folder, manifest)


@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize(
    "suffix, place, value",
    [
        ("token_index", 0, 1),
        ("token_index", 4, -1),
        ("token_index", 4, 2**40),
        ("token_index", -1, 3),
        ("index", 0, 1),
        ("index", 6, 2**60),
        ("index", 7, -5),
        ("index", -1, 1),
    ],
)
def test_an_index_that_was_damaged_is_refused(
    copied, suffix, place, value, is_mapped
):
    path = sorted(copied.glob(f"train-*.{suffix}"))[1]
    _damage(path, np.int64, place, value)
    with pytest.raises(ValueError, match=f"{path.name}: found places"):
        record_source.RecordSource(copied, "train", is_mapped, with_tokens=True)


def test_an_index_with_a_row_beyond_the_longest_is_refused(copied):
    """Padded to the manifest's width such a row would lose its end."""
    path = min(copied.glob("train-*.token_index"))
    places = np.fromfile(path, np.int64)
    places[1:-1] = places[-1]
    places.tofile(path)
    _seal(copied)
    with pytest.raises(ValueError, match=f"{path.name}: found places"):
        record_source.RecordSource(copied, "train", with_tokens=True)


@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize("value", [0, 2**16 - 1])
def test_a_token_that_was_damaged_is_told(copied, value, is_mapped):
    path = min(copied.glob("train-*.tokens"))
    _damage(path, np.uint16, 2, value)
    source = record_source.RecordSource(
        copied, "train", is_mapped, with_tokens=True
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="damaged: token"):
        list(pipeline.evaluation(source, 16))


@pytest.mark.parametrize(
    "num_features, dtype",
    [(1, "uint16"), (2**16 - 1, "uint16"), (2**16, "int32"), (2**31, "int32")],
)
def test_tokens_are_as_wide_as_the_largest(num_features, dtype):
    assert record_format.token_dtype(num_features).name == dtype


@pytest.mark.parametrize("is_mapped", [False, True])
def test_many_features_need_wide_tokens(tmp_path, is_mapped):
    """With no token in one shard, whose file is then empty."""
    num_features = 2**20
    rows = [[[], []], [[2**20, 1, 2**20], [], [65_536]]]
    names = []
    for number, tokens in enumerate(rows):
        run = _without_features(tokens)
        name = record_files.shard_name("train", number, len(rows))
        dtype = record_format.token_dtype(num_features)
        with record_files.ShardWriter(tmp_path, name, dtype) as writer:
            for row in range(run.num_instances):  # many writes, one shard
                writer.write(instances.select(run, np.array([row])))
            writer.finish({"num_instances": run.num_instances})
        facts = record_files.read_finished(tmp_path, name)
        names.append({"name": name, **facts})
    split = {
        "num_instances": 5,
        "most_features": 0,
        "most_labels": 0,
        "most_tokens": 3,
        "shards": names,
    }
    manifest = {
        "version": record_files.TOKENS_VERSION,
        "num_features": num_features,
        "num_labels": 1,
        "splits": {"train": split},
        "tokens": {"max_tokens": None},
        "token_dtype": "int32",
    }
    record_files.write_manifest(tmp_path, manifest)
    source = record_source.RecordSource(
        tmp_path, "train", is_mapped, with_tokens=True
    )
    named, _ = source.rows(tf.constant([4, 2, 0, 3, 1], tf.int64))
    every = sum(rows, [])
    assert named[inputs.TOKEN_IDS].to_list() == [
        every[row] for row in (4, 2, 0, 3, 1)
    ]


def _without_features(tokens):
    splits = np.zeros(len(tokens) + 1, np.int64)
    return instances.Instances(
        splits,
        np.zeros(0, np.int32),
        np.zeros(0, np.float32),
        splits,
        np.zeros(0, np.int32),
        None,
        instances.splits_from_lengths(list(map(len, tokens))),
        np.array(sum(tokens, []), np.int32),
    )


def test_a_mapped_source_of_tokens_runs_without_python(prepared):
    """As the graph of a parameter server's worker has to."""
    source = record_source.RecordSource(
        prepared, "train", is_mapped=True, with_tokens=True
    )
    graph = tf.function(
        pipeline.training_batch(source, 3),
        input_signature=[tf.TensorSpec([], tf.int64)] * 3,
    ).get_concrete_function()
    definition = graph.graph.as_graph_def()
    functions = (f.node_def for f in definition.library.function)
    ops = {node.op for nodes in (definition.node, *functions) for node in nodes}
    assert "ImmutableConst" in ops
    assert not ops & {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
    one, other = (
        pipeline.training_batch(
            record_source.RecordSource(prepared, "train", is_mapped, True), 3
        )(*map(tf.constant, np.array([0, 5, 21])))
        for is_mapped in (False, True)
    )
    assert _lists(one.inputs) == _lists(other.inputs)


def test_a_data_service_hands_out_tokens(prepared):
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    worker = service.WorkerServer(
        service.WorkerConfig(dispatcher_address=address)
    )
    source = record_source.RecordSource(
        prepared, "train", is_mapped=True, with_tokens=True
    )
    cut = batching.ByInstances(N, 16)
    words = source, cut, 3, 0, cut.steps_per_epoch
    served = service_batches.through(
        pipeline.training_epoch(*words), dispatcher.target
    )
    tokens = {
        tuple(batch.instances.numpy()): batch.inputs[inputs.TOKEN_IDS].to_list()
        for batch in served
    }
    assert tokens == {
        tuple(batch.instances.numpy()): batch.inputs[inputs.TOKEN_IDS].to_list()
        for batch in pipeline.training(*words)
    }
    del worker
