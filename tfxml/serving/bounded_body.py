"""The bodies of requests, read within bounds of size and time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

_SMALL = 1 << 16  # bytes that each may have, whatever others have


class Bodies:
    """Reads bodies that take so much memory together, and no more.

    Args:
        most: bytes of all bodies that are held at a time.
        seconds: until all of a body has come.
    """

    def __init__(self, most: int, seconds: float):
        self._most = most
        self._seconds = seconds
        self._held = 0

    @contextlib.asynccontextmanager
    async def body(
        self, request: web.Request, most: int
    ) -> AsyncIterator[bytes]:
        """Gives the body of a request; raises for a large or a slow one.

        Args:
            request: whose body is read.
            most: bytes of it.
        """
        held = 0

        async def read_all() -> bytes:
            nonlocal held
            body = bytearray()
            async for chunk in request.content.iter_chunked(_SMALL):
                body += chunk
                if len(body) > most:
                    raise _too_large(most)
                more = max(len(body) - _SMALL, 0) - held
                if self._held + more > self._most:
                    raise web.HTTPServiceUnavailable(
                        text="too many large requests come at a time"
                    )
                held += more
                self._held += more
            return bytes(body)

        if (request.content_length or 0) > most:
            raise _too_large(most)
        try:
            yield await self._in_time(read_all())
        finally:
            self._held -= held

    async def _in_time(self, reading) -> bytes:
        try:
            return await asyncio.wait_for(reading, self._seconds)
        except asyncio.TimeoutError as error:
            raise web.HTTPRequestTimeout(
                text=f"the body did not come within {self._seconds:g} s"
            ) from error
        except web.RequestPayloadError as error:
            raise web.HTTPBadRequest(text="the body cannot be read") from error


def _too_large(most: int) -> web.HTTPException:
    return web.HTTPRequestEntityTooLarge(
        most, most + 1, text=f"the body must be at most {most:,} bytes"
    )
