"""Files over HTTP from a server that misbehaves, and sets of the catalogue."""

import contextlib
import hashlib
import http.server
import os
import threading
import time

import archives_test
import pytest

from tfxml import config
from tfxml.data.catalogue import http_fetch, known_sets, named_sets
from tfxml.run import build, datasets

CONTENT = bytes(range(256)) * 1000
FILES = archives_test.FILES


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` at any path, with `faults` for the first requests."""

    def __init__(self, content=CONTENT, faults=(), tag='"one"', ranges=True):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.tag, self.ranges = content, tag, ranges
        self.faults = list(faults)
        self.requests = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append(self.headers.get("Range"))
        fault = server.faults.pop(0) if server.faults else None
        if isinstance(fault, int):
            return self.send_error(fault)
        if isinstance(fault, dict):
            return self._send_as_told(**fault)
        start, content = 0, server.content
        wanted = self.headers.get("Range")
        is_same = self.headers.get("If-Range") == server.tag
        if wanted and is_same and server.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            last = len(content) - 1
            self.send_header(
                "Content-Range", f"bytes {start}-{last}/{len(content)}"
            )
        else:
            self.send_response(200)
        kind = "text/html" if fault == "page" else "application/zip"
        self.send_header("Content-Type", kind)
        if server.tag:
            self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + 100_000 if fault in ("cut", "stall") else None
        self.wfile.write(content[start:end])
        self.wfile.flush()
        if fault == "stall":
            time.sleep(1.5)
        self.close_connection = True

    def _send_as_told(self, code=200, headers=(), pieces=1):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # the client has heard enough
            for _ in range(pieces):
                self.wfile.write(CONTENT)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(*args, **words):
        server = Server(*args, **words)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def fetch(server, path, sha256=""):
    return http_fetch.fetch(server.url, path, sha256, timeout=0.5, pause=0.01)


@pytest.mark.parametrize("tag", ['"one"', "", 'W/"weak"'])
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize(
    "faults", [[], ["cut"], ["cut", 503, "cut"], ["stall"], [500, 429]]
)
def test_the_file_arrives_whole(serve, tmp_path, faults, ranges, tag):
    server = serve(faults=faults, ranges=ranges, tag=tag)
    path = tmp_path / "below" / "file"
    sha256 = fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert os.listdir(path.parent) == ["file"]


def test_what_came_is_not_asked_for_again(serve, tmp_path):
    server = serve(faults=["cut", "cut"])
    fetch(server, tmp_path / "file")
    assert server.requests == [None, "bytes=100000-", "bytes=200000-"]


def test_a_later_call_goes_on(serve, tmp_path):
    server = serve(faults=["cut", 503, 503, 503, 503, 503])
    with pytest.raises(http_fetch.DownloadError, match="100000 bytes are in"):
        fetch(server, tmp_path / "file")
    fetch(server, tmp_path / "file")
    assert server.requests[-1] == "bytes=100000-"
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_file_that_changed_is_fetched_from_its_start(serve, tmp_path):
    server = serve(faults=["cut", 503, 503, 503, 503, 503])
    with pytest.raises(http_fetch.DownloadError):
        fetch(server, tmp_path / "file")
    server.content, server.tag = CONTENT[::-1], '"two"'
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (404, "is gone"),
        (410, "is gone"),
        (401, "asks for a login"),
        (403, "asks for a login"),
        (400, "HTTP 400"),
        ("page", "sent a web page instead of the file"),
    ],
)
def test_a_refusal_is_told_in_words(serve, tmp_path, fault, words):
    server = serve(faults=[fault])
    with pytest.raises(http_fetch.DownloadError, match=words):
        fetch(server, tmp_path / "file")
    assert not (tmp_path / "file").exists()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[1", "data:,x"],
)
def test_it_is_sent_on_to_http_alone(serve, tmp_path, target):
    fault = {"code": 302, "headers": [("Location", target)]}
    with pytest.raises(http_fetch.DownloadError, match="sends on to|HTTP 302"):
        fetch(serve(faults=[fault]), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_body_without_end_is_cut(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(http_fetch, "_MAX_BYTES", 3 * len(CONTENT))
    with pytest.raises(http_fetch.DownloadError, match="more than 768,000 b"):
        fetch(serve(faults=[{"pieces": 10**6}]), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    partial = tmp_path / "a.partial"
    assert partial.stat().st_size <= 3 * len(CONTENT)


@pytest.mark.parametrize("length", ["-1", "\u00b2", "9" * 30, "1e3", "x"])
def test_a_wrong_length_is_no_length(serve, tmp_path, length):
    """A body that ends before its length is asked for again."""
    fault = {"headers": [("Content-Length", length)]}
    server = serve(faults=[fault])
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert fetch(server, tmp_path / "a", digest) == digest
    assert len(server.requests) == 1 + (length == "9" * 30)


def test_a_login_page_that_says_it_is_a_file_is_seen(serve, tmp_path):
    server = serve(b"\n<!DOCTYPE html><html>Sign in</html>")
    with pytest.raises(http_fetch.DownloadError, match="web page"):
        fetch(server, tmp_path / "file")


def test_a_wrong_checksum_leaves_nothing(serve, tmp_path):
    server = serve()
    with pytest.raises(http_fetch.DownloadError, match="expected SHA-256"):
        fetch(server, tmp_path / "file", "0" * 64)
    assert not list(tmp_path.glob("file*[!n]"))


def test_a_server_that_is_not_there(tmp_path):
    with pytest.raises(http_fetch.DownloadError, match="5 tries. 0 bytes"):
        http_fetch.fetch(
            "http://127.0.0.1:9/file", tmp_path / "file", pause=0.001
        )


def test_other_schemes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="http://"):
        http_fetch.fetch("file:///etc/passwd", tmp_path / "file")


def entry(*urls):
    mirrors = tuple(
        known_sets.Mirror(f"m{i}", url, "") for i, url in enumerate(urls)
    )
    return known_sets.Entry(
        "tiny", "Tiny", 2, 3, 1, 1, 1.0, 1.0, 0.55, 1.5, mirrors
    )


def test_the_next_mirror_is_asked_where_one_is_gone(serve, tmp_path):
    gone, good = serve(faults=[404]), serve(archives_test.zipped(FILES))
    tiny = entry(gone.url, good.url)
    found = named_sets.ensure(tiny, tmp_path / "data")
    assert found.num_labels == 2
    assert named_sets.differences(tiny, found) == ["labels 2, not 3"]
    # It is there now, and nobody is asked.
    assert named_sets.ensure(tiny, tmp_path / "data") == found
    assert len(good.requests) == 1
    notes = (tmp_path / "data" / "download.json").read_text()
    assert hashlib.sha256(good.content).hexdigest() in notes


def test_all_mirrors_gone_is_told_with_what_to_do(serve, tmp_path):
    servers = [serve(faults=[404]), serve(b"<html>Sign in</html>")]
    tiny = entry(*(server.url for server in servers))
    with pytest.raises(http_fetch.DownloadError) as caught:
        named_sets.ensure(tiny, tmp_path)
    for words in ("m0: ", "is gone", "m1: ", "web page", "by hand"):
        assert words in str(caught.value)


@pytest.mark.parametrize("unpacked", [True, False])
def test_files_fetched_by_hand_are_taken(tmp_path, unpacked):
    if unpacked:
        for name, content in FILES.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)
    else:
        (tmp_path / "set.zip").write_bytes(archives_test.zipped(FILES))
    found = named_sets.ensure(entry("http://127.0.0.1:9/"), tmp_path)
    assert found.splits == ("test", "train")


def test_any_folder_name_may_hold_a_set(tmp_path):
    """What is being unpacked is passed over, and nothing else is."""
    root = tmp_path / "partial sets"
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    named_sets.ensure(entry("http://127.0.0.1:9/"), root)


def test_training_takes_a_data_set_by_its_name(tmp_path, capsys):
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name.endswith("train.txt"):  # fewer could not be trained on
            first, row = content.splitlines(keepends=True)
            content = first.replace(b"1", b"3", 1) + 3 * row
        (tmp_path / name).write_bytes(content)
    recipe = config.Config(dataset="wikititles-500k")
    data = datasets.training_data(recipe, str(tmp_path))
    assert data.train.num_instances == 3
    assert "labels 2, not 501,070" in capsys.readouterr().out
    assert build.propensities(recipe) == (0.5, 0.4)


def test_the_catalogue_agrees_with_itself():
    """Labels an instance times N is instances a label times L."""
    for entry in known_sets.entries().values():
        assert entry.mirrors[0].url.startswith("https://")
        by_rows = entry.labels_per_instance * entry.num_train
        by_labels = entry.instances_per_label * entry.num_labels
        if abs(by_rows / by_labels - 1) > 0.05:
            # The table's own means are over train and test together.
            both = entry.num_train + entry.num_test
            assert entry.labels_per_instance * both == pytest.approx(
                by_labels, rel=0.05
            ), entry.name
    assert len(known_sets.names()) == len(set(known_sets.names()))
