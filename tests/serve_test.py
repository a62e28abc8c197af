"""Predictions over HTTP: real sockets, hostile requests, a real browser."""

import asyncio
import concurrent.futures
import contextlib
import csv
import dataclasses
import io
import json
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import browsers
import exporting
import pytest
import runs

from tfxml import serve
from tfxml.data import requests
from tfxml.evaluation import thresholds
from tfxml.run import request_predictor, set_choices

web = pytest.importorskip("aiohttp.web")
from tfxml.serving import (  # noqa: E402  needs aiohttp
    http_service,
    request_bodies,
)

NAME = "a-b"
BASE = "/v1/models/a-b"
LIMITS = http_service.Limits(
    body_bytes=20_000,
    upload_bytes=400_000,
    instances=4,
    k=4,
    body_seconds=1.0,
    waiting=8,
)
TEXTS = exporting.TOPICS[:3]
BEST = set_choices.SetChoice()
CHOICE = set_choices.SetChoice(
    limits=thresholds.Thresholds(0.5, {0: 0.1, 1: 0.9, 3: 0.2}),
    abstain_below=0.7,
)


@contextlib.contextmanager
def _served(run, limits=LIMITS, choice=BEST):
    """Gives the port of a server that answers in a thread of its own."""
    service = http_service.Service(run, NAME, choice, limits)
    listening = serve.listen("127.0.0.1", 0)
    loops, is_ready = [], threading.Event()

    async def main():
        runner = web.AppRunner(service.application(), shutdown_timeout=0.1)
        await runner.setup()
        await web.SockSite(runner, listening).start()
        end = asyncio.Event()
        loops.append((asyncio.get_running_loop(), end))
        is_ready.set()
        await end.wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert is_ready.wait(10)
    try:
        yield listening.getsockname()[1]
    finally:
        ((loop, end),) = loops
        loop.call_soon_threadsafe(end.set)
        thread.join()


@pytest.fixture(scope="module")
def run():
    return exporting.text_run("sigmoid", hidden_units=())


@pytest.fixture(scope="module")
def port(run):
    with _served(run) as port:
        yield port


@pytest.fixture(scope="module")
def wanted(run):
    """Returns the predictor's own answers to the texts."""
    predictor = request_predictor.RequestPredictor(run, 4)
    batch = [requests.Request(text, None, None) for text in TEXTS]
    return predictor.predict(batch, 3, 2)


def _ask(port, path, body=None, **headers):
    """Returns the status and body of an answer."""
    if isinstance(body, dict | list):
        body = json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body, headers
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _raw(port, *pieces, seconds=10):
    """Sends bytes as they are; returns the status and the whole answer."""
    with socket.create_connection(("127.0.0.1", port), seconds) as link:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                link.sendall(piece)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := link.recv(65536):
                answer += piece
                head, end, body = answer.partition(b"\r\n\r\n")
                size = re.search(rb"Content-Length: (\d+)", head)
                if end and size and len(body) >= int(size[1]):
                    break
    return int(answer.split()[1]), answer


def test_the_state(port, run):
    for path in (BASE, f"{BASE}/versions/{run.step}"):
        status, body = _ask(port, path)
        (version,) = json.loads(body)["model_version_status"]
        assert status == 200
        assert version["state"] == "AVAILABLE"
        assert version["version"] == str(run.step)


@pytest.mark.parametrize("form", ["strings", "objects", "columns"])
def test_predictions_are_those_of_the_predictor(form, port, wanted):
    texts = {
        "strings": {"instances": TEXTS, "k": 3},
        "objects": {
            "instances": [{"text": text} for text in TEXTS],
            "k": 3,
            "explain": 2,
            "signature_name": "serving_default",
        },
        "columns": {"inputs": {"text": TEXTS, "k": [3, 1, 2]}},
    }
    status, body = _ask(port, f"{BASE}:predict", texts[form])
    found = json.loads(body)
    assert status == 200
    if form == "columns":
        for name in ("label_names", "label_ids", "scores"):
            assert found["outputs"][name] == [one[name] for one in wanted]
        return
    if form == "strings":
        wanted = [
            {key: one[key] for key in one if key != "explanations"}
            for one in wanted
        ]
    assert found["predictions"] == wanted


def test_features_are_taken_too(port):
    instance = {"feature_ids": [0, 2], "feature_values": [1, 2], "uid": "x"}
    status, body = _ask(port, f"{BASE}:predict", {"instances": [instance]})
    (answer,) = json.loads(body)["predictions"]
    assert status == 200 and answer["uid"] == "x"
    assert len(answer["label_ids"]) == 4  # of 5 that are asked for by default


BAD = {
    "no JSON": b"{",
    "no UTF-8": b"\xff\xfe{}",
    "no object": [],
    "no instances": {},
    "both": {"instances": ["a"], "inputs": {"text": ["a"]}},
    "none": {"instances": []},
    "too many": {"instances": ["a"] * 5},
    "k of 0": {"instances": ["a"], "k": 0},
    "k too large": {"instances": ["a"], "k": 5},
    "k as text": {"instances": ["a"], "k": "3"},
    "k of a boolean": {"instances": ["a"], "k": True},
    "explain": {"instances": ["a"], "explain": 1000},
    "another way": {"instances": ["a"], "predict": "set"},
    "unknown key": {"instances": ["a"], "path": "/etc/passwd"},
    "a number": {"instances": [3]},
    "no text": {"instances": [{}]},
    "a feature id": {"instances": [{"feature_ids": [10**9]}]},
    "a large feature id": {"instances": [{"feature_ids": [10**30]}]},
    "a huge value": {
        "instances": [{"feature_ids": [1], "feature_values": [1e39]}]
    },
    "NaN": b'{"instances": [{"feature_ids": [1], "feature_values": [NaN]}]}',
    "a half surrogate": b'{"instances": ["\\ud800"]}',
    "deep": b"[" * 10_000,
    "deep inside": b'{"instances": ' + b"[" * 9_000,
    "long digits": b'{"instances": ["a"], "k": ' + b"9" * 9_000 + b"}",
    "columns of no lists": {"inputs": {"text": "a"}},
    "columns of two lengths": {
        "inputs": {"feature_ids": [[1]], "feature_values": []}
    },
    "an unknown column": {"inputs": {"path": ["a"]}},
    "columns of nothing": {"inputs": {}},
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_what_is_no_request_is_400(body, port):
    status, answer = _ask(port, f"{BASE}:predict", body)
    assert status == 400, answer
    error = json.loads(answer)["error"]
    assert "found " in error and "needed " in error
    assert len(error) < 500


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        ("/v1/models/other:predict", b"{}", 404),
        ("/v1/models/a-b/versions/99", None, 404),
        ("/assets/serve.html", None, 404),
        ("/assets/..%2f..%2fserve.py", None, 404),
        ("/assets/%2e%2e/serve.py", None, 404),
        ("/nothing", None, 404),
        (f"{BASE}:predict", None, 405),
        (BASE, b"{}", 405),
    ],
)
def test_what_is_not_there(path, body, wanted, port):
    status, answer = _ask(port, path, body)
    assert status == wanted
    assert json.loads(answer)["error"]


@pytest.mark.parametrize(
    "path",
    [
        b"/assets/../serve.py",
        b"/../../../../etc/passwd",
        b"//etc/passwd",
        b"/assets//etc/passwd",
        b"/assets/base.css%00",
        b"/assets/\\..\\serve.py",
    ],
)
def test_no_path_leads_to_the_disk(path, port):
    status, answer = _raw(
        port, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    assert status in (400, 404)
    assert b"root:" not in answer and b"import" not in answer


def _head(port, *lines):
    first = [f"POST {BASE}:predict HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    return "\r\n".join([*first, *lines, "", ""]).encode()


def test_a_body_that_is_too_large_is_413_at_once(port):
    """Whether its length is said, or it comes in chunks, or unpacks to it."""
    start = time.monotonic()
    said = _raw(port, _head(port, "Content-Length: 99999999999"))
    chunk = b"2000\r\n" + b"a" * 0x2000 + b"\r\n"
    chunked = _raw(
        port, _head(port, "Transfer-Encoding: chunked"), *[chunk] * 9
    )
    for status, answer in (said, chunked):
        assert status == 413
        assert b"at most 20,000 bytes" in answer
    assert time.monotonic() - start < 5
    import gzip

    bomb = gzip.compress(b"a" * 10**7)
    assert len(bomb) < LIMITS.body_bytes
    status, _ = _ask(
        port, f"{BASE}:predict", bomb, **{"Content-Encoding": "gzip"}
    )
    assert status == 413


def test_a_slow_body_is_408_and_holds_up_nobody(port):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        start = time.monotonic()
        slow = [
            pool.submit(_raw, port, _head(port, "Content-Length: 99"), b"{")
            for _ in range(20)  # more than may wait for an answer
        ]
        status, _ = _ask(port, f"{BASE}:predict", {"instances": ["a"]})
        assert status == 200 and time.monotonic() - start < 1
        for one in slow:
            status, answer = one.result()
            assert status == 408 and b"within 1 s" in answer
        assert time.monotonic() - start < 6


def test_many_at_once_have_their_own_answers(port, wanted):
    def ask(number):
        text = TEXTS[number % 3]
        status, body = _ask(port, f"{BASE}:predict", {"instances": [text]})
        (answer,) = json.loads(body)["predictions"]
        first = wanted[number % 3]["label_ids"]
        return status == 200 and answer["label_ids"][:3] == first

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(40)))


def test_other_sites_are_refused(port):
    """A name that leads here (DNS rebinding), or a page of elsewhere."""
    for headers in (
        {"Host": f"evil.example:{port}"},
        {"Host": "[::bad"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        status, body = _ask(
            port, f"{BASE}:predict", {"instances": ["a"]}, **headers
        )
        assert status in (400, 403), headers
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        status, _ = _ask(port, BASE, Host=host, Origin=f"http://{host}")
        assert status == 200


ROWS = [("cheese milk", "one"), ('law, "court"\nharbour', "two"), ("", "3")]


def _csv(rows):
    sink = io.StringIO(newline="")
    csv.writer(sink).writerows([("text", "uid"), *rows])
    return sink.getvalue()


@pytest.fixture(scope="module")
def choosy_port(run):
    with _served(run, choice=CHOICE) as port:
        yield port


@pytest.mark.parametrize("way", request_bodies.WAYS)
def test_thresholds_and_abstaining(way, choosy_port, run):
    """The answers are those of `predict` with the same thresholds."""
    port = choosy_port
    texts = exporting.texts()
    choice = dataclasses.replace(CHOICE, way=way)
    predictor = request_predictor.RequestPredictor(run, choice=choice)
    wanted = predictor.predict(texts, 4)
    names = [one["label_names"] for one in wanted]
    assert [] in names and max(map(len, names)) > 1
    for start in range(0, len(texts), LIMITS.instances):
        some = slice(start, start + LIMITS.instances)
        body = {"instances": texts[some], "k": 4, "predict": way}
        status, found = _ask(port, f"{BASE}:predict", body)
        assert status == 200
        assert json.loads(found)["predictions"] == wanted[some]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    path = f"{BASE}:upload?k=4&predict={way}"
    _, found = _ask(port, path, lines.encode())
    found = [json.loads(line) for line in found.splitlines()]
    assert [one["label_names"] for one in found] == names


@pytest.mark.parametrize("output", ["csv", "jsonl"])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_file_is_answered(form, output, port, run):
    text = "\ufeff" + _csv(ROWS)
    if form == "jsonl":
        text = "".join(
            json.dumps({"text": text, "uid": uid}) + "\n" for text, uid in ROWS
        )
    status, body = _ask(
        port, f"{BASE}:upload?input={form}&output={output}&k=2", text.encode()
    )
    assert status == 200
    predictor = request_predictor.RequestPredictor(run, 2)
    wanted = predictor.predict(
        [requests.Request(text, None, None, uid) for text, uid in ROWS]
    )
    if output == "jsonl":
        assert [json.loads(line) for line in body.splitlines()] == wanted
        return
    names, *rows = csv.reader(io.StringIO(body.decode(), newline=""))
    assert names == [
        *("uid", "label_1", "score_1", "label_2", "score_2", "error")
    ]
    for row, answer in zip(rows, wanted, strict=True):
        assert row[0] == answer["uid"] and not row[5]
        assert row[1:5:2] == answer["label_names"]
        assert [float(cell) for cell in row[2:5:2]] == answer["scores"]


def test_bad_lines_of_a_file_have_their_errors(port):
    lines = b'{"text": "milk"}\n{\n\n{"feature_ids": [-1]}\n{"text": "law"}'
    status, body = _ask(port, f"{BASE}:upload?k=1", lines)
    found = [json.loads(line) for line in body.splitlines()]
    assert status == 200
    assert ["error" in one for one in found] == [
        *(False, True, False, True, False)
    ]
    status, body = _ask(port, f"{BASE}:upload?k=1&output=csv", lines)
    rows = list(csv.reader(io.StringIO(body.decode(), newline="")))
    assert [bool(row[3]) for row in rows[1:]] == [
        *(False, True, False, True, False)
    ]


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?input=xml", b""),
        ("?output=../x", b""),
        ("?k=0", b""),
        ("?k=99", b""),
        ("?k=-1", b""),
        ("?path=/etc/passwd", b""),
        ("?predict=set", b""),
        ("?input=csv", b""),
        ("?input=csv", b"a,b\n1,2\n"),
        ("?input=csv", b"uid\n1\n"),
        ("?input=csv", b"text\n\xff\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_400(query, body, port):
    status, answer = _ask(port, f"{BASE}:upload{query}", body or b" ")
    assert status == 400
    assert json.loads(answer)["error"].startswith("found ")


def test_a_file_that_is_too_large_is_413(port):
    status, _ = _ask(port, f"{BASE}:upload", b"\n" * 400_001)
    assert status == 413
    status, body = _ask(port, f"{BASE}:upload", b"\n" * 4_000)
    assert status == 200 and len(body.splitlines()) == 4_000


def test_the_page_names_the_model_and_loads_from_here_alone(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        page, policy = answer.read().decode(), answer.headers
    assert "<title>a-b</title>" in page and "5 labels" in page
    assert "http" not in re.sub(r"http-equiv|<pre>.*?</pre>", "", page)
    assert "default-src 'none'" in policy["Content-Security-Policy"]
    for name in re.findall(r'assets/([\w.]+)"', page):
        assert _ask(port, f"/assets/{name}")[0] == 200


@pytest.mark.parametrize("name", ["", "a/b", "{a}", "a b", "..%2f"])
def test_a_name_is_a_word(name, run):
    with pytest.raises(ValueError, match="`name` must be"):
        http_service.Service(run, name, BEST)


def test_a_port_that_is_taken_is_named(port):
    with pytest.raises(OSError, match=f"127.0.0.1 port {port}"):
        serve.listen("127.0.0.1", port)


@pytest.mark.slow
def test_what_a_person_sees(port, run, wanted, tmp_path):
    with browsers.chromium() as browser:
        page = browser.new_page()
        complaints, asked = browsers.watched(page)
        page.goto(f"http://127.0.0.1:{port}/")
        assert page.title() == NAME
        page.fill("#k", "3")
        page.fill("#input", TEXTS[0])
        page.wait_for_selector("#labels li")
        names = page.locator("#labels .name").all_text_contents()
        assert names == wanted[0]["label_names"]
        assert not page.locator(".why span").count()
        page.check("#explain")
        page.wait_for_selector(".why span")
        terms = run.text_features.terms
        for told in page.locator(".why span").all_text_contents():
            assert told.split()[0] in terms
        page.fill("#k", "77")
        page.locator("#status", has_text="[1, 4]").wait_for()
        page.fill("#k", "2")
        page.click("#batch summary")
        source = tmp_path / "some.csv"
        source.write_text(_csv(ROWS))
        page.set_input_files("#file", source)
        page.click("#send")
        with page.expect_download() as saved:
            page.click("#download")
        assert saved.value.suggested_filename == "some.labels.csv"
        lines = open(saved.value.path(), newline="").read()
        answers = list(csv.reader(io.StringIO(lines, newline="")))
        assert [row[0] for row in answers[1:]] == ["one", "two", "3"]
        cells = page.locator("#preview tr").nth(2).locator("td")
        assert cells.all_text_contents() == answers[2]
        page.fill("#input", "")
        page.locator("#labels li").first.wait_for(state="detached")
    # The one that asks for too many labels is told in the console too.
    assert all("400 (Bad Request)" in one for one in complaints), complaints
    assert all(
        url.startswith((f"http://127.0.0.1:{port}/", "blob:", "data:"))
        for url in asked
    )


@pytest.mark.slow
def test_a_person_sees_none_of_the_labels(choosy_port, run):
    choice = dataclasses.replace(CHOICE, way="threshold")
    predictor = request_predictor.RequestPredictor(run, choice=choice)
    texts = [text for text in exporting.texts() if len(text) > 9]
    answers = [one["label_names"] for one in predictor.predict(texts, 4)]
    with browsers.chromium() as browser:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{choosy_port}/")
        page.select_option("#way", "threshold")
        page.fill("#k", "4")
        page.fill("#input", texts[answers.index([])])
        page.locator("#status", has_text="none of the labels").wait_for()
        assert not page.locator("#labels li").count()
        some = next(number for number, names in enumerate(answers) if names)
        page.fill("#input", texts[some])
        page.wait_for_selector("#labels li")
        names = page.locator("#labels .name").all_text_contents()
        assert names == answers[some]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return exporting.train_on_texts(tmp_path_factory.mktemp("serve"))


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_end(signum, workdir):
    words = runs.command("tfxml.serve", f"--workdir={workdir}", "--port=0")
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        for line in process.stdout:
            if line.startswith("serves"):
                break
        port = re.search(r"http://127\.0\.0\.1:(\d+)/", line)[1]
        status, body = _ask(
            port, "/v1/models/tfxml:predict", {"instances": ["milk"]}
        )
        assert status == 200 and len(json.loads(body)["predictions"]) == 1
        # One that is under way does not hold up the end.
        with socket.create_connection(("127.0.0.1", int(port))) as link:
            link.sendall(_head(port, "Content-Length: 9"))
            time.sleep(0.2)
            start = time.monotonic()
            process.send_signal(signum)
            _, errors = process.communicate(timeout=20)
        assert time.monotonic() - start < 8
        assert process.returncode == 128 + signum
        assert "Traceback" not in errors and "WARNING other" not in errors
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_other_machines_are_let_in_only_when_told(workdir):
    with serve.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = runs.finished(
            runs.command(
                "tfxml.serve", f"--workdir={workdir}", f"--port={port}"
            )
        )
    assert done.returncode == 1
    assert f"FATAL 127.0.0.1 port {port}: Address already in use" in done.stderr
    words = runs.command(
        "tfxml.serve", f"--workdir={workdir}", "--port=0", "--address=0.0.0.0"
    )
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("serves"):
                break
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert "WARNING other machines reach this server" in errors
