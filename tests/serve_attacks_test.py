"""Attacks on the real server: it answers or closes, and others are served.

All of them are made on one process of `python -m tfxml.serve`; after each one
it must answer an honest request at once, have complained of no bug, and have
given back its memory.
"""

import contextlib
import json
import pathlib
import re
import resource
import socket
import struct
import subprocess
import threading
import time

import exporting
import pytest
import runs

pytest.importorskip("aiohttp")
pytestmark = pytest.mark.slow

SECONDS = 2.0  # until a request must have come
PATH = "/v1/models/tfxml"
HONEST = json.dumps({"instances": ["cheese milk"]}).encode()
HOST = b"Host: localhost\r\n"


class Server:
    """The server's process, and what is sent to it."""

    def __init__(self, workdir, folder):
        self._errors = folder / "errors"
        limits = ["--max_request_mib=1", "--max_upload_mib=8", "--max_k=5"]
        with open(self._errors, "wb") as errors:
            self.process = subprocess.Popen(
                runs.command(
                    "tfxml.serve",
                    *(f"--workdir={workdir}", "--port=0", *limits),
                    f"--body_seconds={SECONDS}",
                ),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        for line in self.process.stdout:
            if line.startswith("serves"):
                break
        self.port = int(re.search(r":(\d+)/", line)[1])

    def link(self, seconds=30):
        return socket.create_connection(("127.0.0.1", self.port), seconds)

    def sent(self, *pieces):
        """Sends bytes; returns all that is answered until it closes."""
        with self.link() as link:
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    link.sendall(piece)
            return _until_closed(link)

    def megabytes(self):
        """Returns how much memory the process has."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def num_links(self):
        folder = pathlib.Path(f"/proc/{self.process.pid}/fd")
        return sum(1 for _ in folder.iterdir())

    def errors(self):
        return self._errors.read_text(errors="replace")

    def serves(self):
        """Tells whether an honest request is answered, and how fast."""
        start = time.monotonic()
        answer = self.sent(_request(HONEST, "Connection: close"))
        assert answer.startswith(b"HTTP/1.1 200"), answer[:300]
        return time.monotonic() - start


def _request(body, *lines, path=f"{PATH}:predict"):
    head = [f"POST {path} HTTP/1.1", "Host: localhost", *lines]
    head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


def _until_closed(link):
    answer = b""
    with contextlib.suppress(ConnectionError):
        while piece := link.recv(65536):
            answer += piece
    return answer


def _statuses(answer):
    return [
        int(code) for code in re.findall(rb"HTTP/1\.(?:0|1) (\d+) ", answer)
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base = tmp_path_factory.mktemp("attacked")
    server = Server(exporting.train_on_texts(base), base)
    try:
        server.serves()
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@pytest.fixture(autouse=True)
def _is_unharmed(server):
    """What must hold after every attack."""
    yield
    assert server.serves() < 5
    assert "Traceback" not in server.errors(), server.errors()[-3000:]
    deadline = time.monotonic() + 20
    while server.num_links() > 60 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert server.num_links() <= 60


POST = f"POST {PATH}:predict HTTP/1.1\r\n".encode() + HOST
GET = f"GET {PATH} HTTP/1.1\r\n".encode() + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
# What is sent, and with which statuses it may be answered; none: it closes.
REFUSED = {
    "a length of no number": POST + b"Content-Length: x\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a signed length": POST + b"Content-Length: +9\r\n\r\n",
    "a length beyond 64 bits": POST
    + b"Content-Length: "
    + b"9" * 30
    + b"\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "length and chunks": CHUNKED + b"Content-Length: 2\r\n\r\n0\r\n\r\n",
    "chunks twice": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding of no name": POST + b"Transfer-Encoding: x\r\n\r\n{}",
    "a chunk of no size": CHUNKED + b"\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk of a negative size": CHUNKED + b"\r\n-1\r\n{}\r\n0\r\n\r\n",
    "a chunk of all sizes": CHUNKED + b"\r\n" + b"f" * 40 + b"\r\n{}",
    "a chunk beyond its size": CHUNKED + b"\r\n1\r\n{}{}\r\n0\r\n\r\n",
    "a long extension": CHUNKED + b"\r\n1;" + b"a" * 100_000 + b"\r\n{\r\n",
    "a long trailer": CHUNKED + b"\r\n0\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
    "a long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST,
    "a long header": GET + b"A: " + b"a" * 100_000 + b"\r\n\r\n",
    "a long name": GET + b"a" * 100_000 + b": b\r\n\r\n",
    "many headers": GET + b"A: b\r\n" * 100_000 + b"\r\n",
    "a header of no name": GET + b": b\r\n\r\n",
    "a header in two lines": GET + b"A: b\r\n c\r\n\r\n",
    "a line break alone": GET + b"A: b\rB: c\r\n\r\n",
    "a zero byte": GET + b"A: b\0c\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
    "no version": b"GET /\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(99),
    "nothing but zeros": bytes(10_000),
    "no method": b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method of no name": b"\xff\xfe / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": f"GET {PATH} HTTP/1.1\r\n\r\n".encode(),
    "two hosts": GET + b"Host: evil.example\r\n\r\n",
    "another site's URL": b"GET http://evil.example/ HTTP/1.1\r\n" + HOST,
    "a proxy's method": b"CONNECT evil.example:80 HTTP/1.1\r\n" + HOST,
}


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
def test_what_is_no_request_is_refused(sent, server):
    answer = server.sent(sent)
    codes = _statuses(answer)
    assert len(codes) < 3 and all(400 <= code < 500 for code in codes), answer[
        :500
    ]
    assert b"root:" not in answer and b"Traceback" not in answer


METHODS = ["TRACE", "OPTIONS", "PUT", "DELETE", "PATCH", "FOO", "get"]


@pytest.mark.parametrize("method", METHODS)
def test_other_methods_are_refused(method, server):
    for path in ("/", PATH, f"{PATH}:predict", "*"):
        head = f"{method} {path} HTTP/1.1\r\n".encode() + HOST
        answer = server.sent(
            head + b"Connection: close\r\nCookie: secret=1\r\n\r\n"
        )
        assert all(400 <= code < 500 for code in _statuses(answer)), answer
        assert b"secret" not in answer


BODIES = {
    "not UTF-8": (b'{"instances": ["\xff"]}', []),
    "UTF-16": ('{"instances": ["a"]}'.encode("utf-16"), []),
    "deep": (b'{"instances": ' + b"[" * 500_000, []),
    "deep objects": (b'{"a":' * 200_000, []),
    "a long number": (
        b'{"instances": ["a"], "k": ' + b"9" * 900_000 + b"}",
        [],
    ),
    "a long key": (b'{"' + b"a" * 900_000 + b'": 1}', []),
    "many keys": (
        b"{" + b",".join(b'"%d":1' % i for i in range(90_000)) + b"}",
        [],
    ),
    "one key many times": (b"{" + b'"instances":[],' * 60_000 + b'"k":1}', []),
    "NaN": (
        b'{"instances": [{"feature_ids": [0], "feature_values": [NaN]}]}',
        [],
    ),
    "no gzip": (HONEST, ["Content-Encoding: gzip"]),
    "half of gzip": (b"\x1f\x8b\x08\0\0\0\0\0", ["Content-Encoding: gzip"]),
    "no deflate": (HONEST, ["Content-Encoding: deflate"]),
    "no brotli": (HONEST, ["Content-Encoding: br"]),
    "no zstd": (HONEST, ["Content-Encoding: zstd"]),
    "a form": (
        b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--\r\n",
        ["Content-Type: multipart/form-data; boundary=x"],
    ),
    "a charset of no name": (b"\xff", ["Content-Type: text/x; charset=\xa4"]),
}


@pytest.mark.parametrize("name", BODIES)
def test_what_is_no_body_is_400(name, server):
    body, lines = BODIES[name]
    start = time.monotonic()
    answer = server.sent(_request(body, "Connection: close", *lines))
    assert _statuses(answer) in ([400], [415]), answer[:500]
    assert len(answer) < 2000
    if b"application/json" in answer:  # or aiohttp's own, which is text
        assert "error" in _json(answer)
    assert time.monotonic() - start < 5


def _json(answer):
    """Returns the object of an answer, which holds finite numbers alone."""

    def refuse(name):
        raise AssertionError(name)

    body = answer.partition(b"\r\n\r\n")[2]
    return json.loads(body, parse_constant=refuse)


@pytest.mark.parametrize("value", [3e38, -3e38, 1e-45, 0.0])
def test_numbers_at_the_limits(value, server):
    values = [value, -value, 3e38, value]
    row = {"feature_ids": list(range(4)), "feature_values": values}
    body = json.dumps({"instances": [row]}).encode()
    answer = server.sent(_request(body, "Connection: close"))
    assert _statuses(answer) in ([200], [400]), answer[:500]
    assert {"predictions", "error"} & set(_json(answer))


@pytest.mark.parametrize(
    "path",
    [
        *("/../../etc/passwd", "/..%2f..%2fetc/passwd", "//etc/passwd"),
        *("/%2e%2e/%2e%2e/etc/passwd", "/assets/%00", "/assets/\\..\\x"),
        *("/assets/....//....//etc/passwd", "/assets/..%c0%af..%c0%afetc"),
        *(f"{PATH}/versions/../../../etc/passwd", f"{PATH}/versions/%s%n"),
        *("/assets/base.css/../../serve.py", "/%ff%fe", "/?" + "a=b&" * 1500),
        *("/assets/~root", "/proc/self/environ", "/.git/config"),
    ],
)
def test_no_path_leads_to_the_disk(path, server):
    answer = server.sent(
        *(b"GET " + path.encode() + b" HTTP/1.1\r\n", HOST),
        b"Connection: close\r\n\r\n",
    )
    (code,) = _statuses(answer)
    assert code in (400, 404) or (path.startswith("/?") and code == 200)
    assert b"root:" not in answer and b"import" not in answer


def test_a_request_in_single_bytes(server):
    request = _request(HONEST, "Connection: close")
    answer = server.sent(*(request[i : i + 1] for i in range(len(request))))
    assert _statuses(answer) == [200]


@pytest.mark.parametrize("size", [-3, None])
def test_half_closed_connections(size, server):
    """Who has nothing more to say is answered, or is closed at once."""
    with server.link() as link:
        link.sendall(_request(HONEST)[:size])
        link.shutdown(socket.SHUT_WR)
        start = time.monotonic()
        codes = _statuses(_until_closed(link))
    assert codes in ([], [400], [200]) and time.monotonic() - start < SECONDS


def test_requests_one_behind_the_other(server):
    """Each is answered, in their order; who does not read is not waited for."""
    several = b"".join(
        _request(json.dumps({"instances": ["a"] * number}).encode())
        for number in (1, 2, 3)
    )
    answer = server.sent(several, GET + b"Connection: close\r\n\r\n")
    assert _statuses(answer) == [200] * 4
    found = [
        len(json.loads(body)["predictions"])
        for body in re.findall(rb'\{"predictions".*\]\}', answer)
    ]
    assert found == [1, 2, 3]
    before = server.megabytes()
    with server.link(5) as link, contextlib.suppress(OSError):
        for _ in range(200):
            link.sendall((GET + b"\r\n") * 1000)
    assert server.serves() < 5
    assert server.megabytes() < before + 100


def test_a_request_smuggled_in_another(server):
    """What comes behind a body is no request of the one before."""
    inner = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for lines in (
        b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ):
        answer = server.sent(POST + lines + inner)
        assert _statuses(answer) in ([], [400]), (lines, answer)


def test_connections_that_are_reset(server):
    for size in (0, 30, 400):
        for _ in range(100):
            link = server.link()
            link.sendall(_request(b"{" + b" " * 350, "A: b")[:size])
            # No waiting for what is under way: the other end is told so.
            link.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            link.close()


def test_who_goes_away_before_the_answer(server):
    body = json.dumps({"instances": ["milk " * 50] * 500}).encode()
    for _ in range(60):
        with server.link() as link:
            link.sendall(_request(body))


@pytest.mark.parametrize(
    "begun", [b"", b"G", GET, POST + b"Content-Length: 9\r\n\r\n{"]
)
def test_many_who_never_finish(begun, server):
    """Others are served meanwhile, and they are sent away in the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        with contextlib.ExitStack() as links:
            idle = [links.enter_context(server.link()) for _ in range(500)]
            for link in idle:
                link.sendall(begun)
            assert server.serves() < 5
            deadline = time.monotonic() + SECONDS + 15
            for link in idle:
                link.settimeout(max(0.1, deadline - time.monotonic()))
                answer = _until_closed(link)
                assert _statuses(answer) in ([], [400], [408])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_head_that_never_ends(server):
    before = server.megabytes()
    end = time.monotonic() + 4 * SECONDS
    with server.link() as link, contextlib.suppress(ConnectionError):
        link.sendall(GET)
        while time.monotonic() < end:
            link.sendall(b"A: b\r\n")
            time.sleep(0.05)
        pytest.fail("it was listened to until we gave up")
    assert server.megabytes() < before + 50


def test_large_bodies_of_many(server):
    """They take no more memory together than is said."""
    before = server.megabytes()
    peak, is_over = before, threading.Event()

    def send():
        head = f"POST {PATH}:upload HTTP/1.1\r\n".encode() + HOST
        with server.link() as link, contextlib.suppress(OSError):
            link.sendall(head + b"Content-Length: 8000000\r\n\r\n")
            for _ in range(79):
                link.sendall(b" " * 100_000)
            is_over.wait(SECONDS)

    senders = [threading.Thread(target=send) for _ in range(60)]
    for sender in senders:
        sender.start()
    while any(sender.is_alive() for sender in senders):
        peak = max(peak, server.megabytes())
        assert server.serves() < 5
        time.sleep(0.1)
    is_over.set()
    assert peak < before + 150


def test_who_never_reads_an_answer(server):
    """Their places are given to others after a while."""
    line = json.dumps({"text": "milk", "uid": "u" * 1000}).encode() + b"\n"
    body = line * 7_000
    with contextlib.ExitStack() as links:
        for _ in range(70):
            link = links.enter_context(server.link())
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            head = _request(body, path=f"{PATH}:upload")
            with contextlib.suppress(OSError):
                link.sendall(head)
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            answer = server.sent(_request(HONEST, "Connection: close"))
            if _statuses(answer) == [200]:
                break
            assert _statuses(answer) == [503]
            time.sleep(0.5)
        else:
            pytest.fail("nobody else is served")


def test_memory_comes_back(server):
    """As many requests again take no more than those before."""
    body = json.dumps({"instances": ["milk cheese"] * 100}).encode()

    def ask():
        for _ in range(300):
            server.sent(_request(body, "Connection: close"))
            server.sent(_request(b"{" * 1000, "Connection: close"))

    ask()
    before = server.megabytes()
    ask()
    assert server.megabytes() < before + 20
