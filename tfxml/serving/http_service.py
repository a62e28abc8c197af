"""Predictions over HTTP: the REST form of TensorFlow Serving, and a page.

| request | answer |
| --- | --- |
| GET / | a page to try the model |
| GET /v1/models/NAME | the state of the model |
| POST /v1/models/NAME:predict | {"predictions": [...]} of "instances" |
| POST /v1/models/NAME:upload | the labels of a file of CSV or JSON lines |

Errors are {"error": "..."}. No part of a request becomes a path on the disk.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import re
import sys
import traceback
import urllib.parse
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from aiohttp import web

from strategies import loopback
from tfxml.pages import assets
from tfxml.run import (
    answers,
    explanations,
    request_predictor,
    restore,
    set_choices,
)
from tfxml.serving import (
    bounded_answer,
    bounded_body,
    request_bodies,
    uploads,
)

_T = TypeVar("_T")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_HEADERS = {
    # The page loads from here alone, and no other page may embed it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_ASSETS = {
    "base.css": "text/css",
    "serve.css": "text/css",
    "serve.js": "text/javascript",
}


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a request may ask for at most.

    Attributes:
        body_bytes: of a request.
        upload_bytes: of a file that is uploaded.
        instances: of a request.
        k: labels an instance.
        body_seconds: until all of a body has come; also how long a connection
            may be idle, and a part of an answer be left unread.
        held_bytes: of all bodies that are held at a time.
        waiting: requests that wait for their answer.
    """

    body_bytes: int = 16 << 20
    upload_bytes: int = 256 << 20
    instances: int = 1024
    k: int = 100
    body_seconds: float = 30.0
    held_bytes: int = 1 << 30
    waiting: int = 64


class Service:
    """Answers requests with a trained run, one after the other.

    Args:
        run: what `restore.restore` returns.
        name: of the model, in the URLs.
        choice: thresholds, and when to abstain.
        limits: of requests.
        is_local: whether only names of this machine are answered to, so that
            no page of another site can read answers by a name of its own.
        runtime: see `request_predictor.RequestPredictor`.
    """

    def __init__(
        self,
        run: restore.TrainedRun,
        name: str,
        choice: set_choices.SetChoice,
        limits: Limits = Limits(),
        is_local: bool = True,
        runtime: str = "auto",
    ):
        if not _NAME.fullmatch(name):
            raise ValueError(
                "`name` must be of letters, digits, '.', '_' and '-'. "
                f"Received: {name=}"
            )
        self._run, self._name, self._limits = run, name, limits
        self._is_local = is_local
        # As many labels are ranked as either way to answer needs.
        k = max(limits.k, choice.num_candidates)
        self._choice = dataclasses.replace(choice, k=k)
        self._predictor = request_predictor.RequestPredictor(
            run, runtime=runtime, choice=self._choice
        )
        # One at a time: a prediction uses all processors.
        self._worker = concurrent.futures.ThreadPoolExecutor(1)
        self._num_waiting = 0
        self._bodies = bounded_body.Bodies(
            limits.held_bytes, limits.body_seconds
        )

    def application(self) -> web.Application:
        """Returns what a server of aiohttp runs."""
        application = web.Application(middlewares=[self._guarded])
        base = f"/v1/models/{self._name}"
        for version in ("", f"/versions/{self._run.step}"):
            application.router.add_get(f"{base}{version}", self._state)
            application.router.add_post(
                f"{base}{version}:predict", self._predict
            )
        application.router.add_post(f"{base}:upload", self._upload)
        application.router.add_get("/", self._page)
        application.router.add_get("/assets/{name}", self._asset)
        application.on_cleanup.append(self._close)
        return application

    async def _close(self, application: web.Application) -> None:
        del application
        self._worker.shutdown(wait=False, cancel_futures=True)

    @web.middleware
    async def _guarded(self, request: web.Request, handler) -> Any:
        """Answers, whatever happens, in JSON and with our headers."""
        try:
            self._check_origin(request)
            response = await handler(request)
        except web.HTTPException as error:
            response = _error(error.status, error.text or error.reason)
        except ConnectionError:
            raise  # nobody is there to be answered
        except Exception:
            traceback.print_exc(file=sys.stderr)
            response = _error(500, "a bug of tfxml: see the server's output")
        if not response.prepared:
            response.headers.update(_HEADERS)
            seconds = self._limits.body_seconds
            await bounded_answer.send(request, response, seconds)
        return response

    def _check_origin(self, request: web.Request) -> None:
        """Raises unless a request is sent to us, from us or from no page."""
        host = request.host or ""
        if self._is_local and not loopback.is_loopback(_without_port(host)):
            raise web.HTTPForbidden(text=f"unknown host {host[:80]!r}")
        origin = request.headers.get("Origin")
        if origin and urllib.parse.urlsplit(origin).netloc != host:
            raise web.HTTPForbidden(text="a page of another site")

    async def _page(self, request: web.Request) -> web.Response:
        del request
        page = assets.render(
            "serve.html",
            name=self._name,
            step=self._run.step,
            num_labels=self._run.facts.num_labels,
            is_text=self._run.facts.is_text,
            can_explain=explanations.can_explain(self._run),
            max_k=min(self._limits.k, self._run.facts.num_labels),
            upload_bytes=self._limits.upload_bytes,
        )
        return web.Response(text=page, content_type="text/html")

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in _ASSETS:
            raise web.HTTPNotFound(text="no such file")
        return web.Response(text=assets.read(name), content_type=_ASSETS[name])

    async def _state(self, request: web.Request) -> web.Response:
        del request
        status = {"error_code": "OK", "error_message": ""}
        version = {
            "version": str(self._run.step),
            "state": "AVAILABLE",
            "status": status,
        }
        return web.json_response({"model_version_status": [version]})

    async def _predict(self, request: web.Request) -> web.Response:
        limits = self._limits

        def answer(body: bytes) -> str:
            asked = request_bodies.parse(
                body,
                limits.instances,
                limits.k,
                self._run.facts.num_features,
                self._run.facts.is_text,
                self._predictor.title_weight,
            )
            found = self._predictor.predict(
                asked.instances,
                asked.k,
                asked.explain,
                dataclasses.replace(self._choice, way=asked.way),
            )
            return answers.to_line(asked.reply(found))

        async with (
            self._bodies.body(request, limits.body_bytes) as body,
            self._place(),
        ):
            text = await self._in_turn(lambda: answer(body))
        return web.Response(text=text, content_type="application/json")

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        limits = self._limits
        with _told_as_400():
            wanted = uploads.Wanted.of(request.query, limits.k)
        choice = dataclasses.replace(self._choice, way=wanted.way)
        async with (
            self._bodies.body(request, limits.upload_bytes) as body,
            self._place(),
        ):
            lines = await self._in_turn(
                lambda: uploads.answers(
                    body, wanted, self._predictor, self._run.facts, choice
                )
            )
            response = web.StreamResponse(headers=_HEADERS)
            response.content_type = uploads.CONTENT_TYPES[wanted.output]
            response.charset = "utf-8"
            await response.prepare(request)
            while chunk := await self._in_turn(lambda: next(lines, b"")):
                await bounded_answer.until_read(
                    request, response.write(chunk), limits.body_seconds
                )
            await bounded_answer.send(request, response, limits.body_seconds)
        return response

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Holds one of the places of those that wait for an answer."""
        if self._num_waiting >= self._limits.waiting:
            raise web.HTTPServiceUnavailable(text="too many requests wait")
        self._num_waiting += 1
        try:
            yield
        finally:
            self._num_waiting -= 1

    async def _in_turn(self, answer: Callable[[], _T]) -> _T:
        """Returns what `answer` does, off the loop of events."""
        loop = asyncio.get_running_loop()
        with _told_as_400():
            return await loop.run_in_executor(self._worker, answer)


@contextlib.contextmanager
def _told_as_400():
    """Answers 400 to what a request asks for in vain."""
    try:
        yield
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


def _error(status: int, message: str) -> web.Response:
    response = web.json_response({"error": message}, status=status)
    if status in (408, 413, 503):
        response.force_close()  # the rest of the body is not waited for
    return response


def _without_port(host: str) -> str:
    """Returns the name of host:port, without the brackets of IPv6."""
    with contextlib.suppress(ValueError):
        return urllib.parse.urlsplit(f"//{host}").hostname or ""
    return ""
