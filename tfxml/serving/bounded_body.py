"""The body of a request, read within bounds of size and time."""

from __future__ import annotations

import asyncio

from aiohttp import web


async def read(request: web.Request, most: int, seconds: float) -> bytes:
    """Returns the body of a request; raises for a large or a slow one.

    Args:
        request: whose body is read.
        most: bytes.
        seconds: until all of it has come.
    """

    async def read_all() -> bytes:
        body = bytearray()
        async for chunk in request.content.iter_chunked(1 << 16):
            body += chunk
            if len(body) > most:
                raise _too_large(most)
        return bytes(body)

    if (request.content_length or 0) > most:
        raise _too_large(most)
    try:
        return await asyncio.wait_for(read_all(), seconds)
    except asyncio.TimeoutError as error:
        raise web.HTTPRequestTimeout(
            text=f"the body did not come within {seconds:g} s"
        ) from error
    except web.RequestPayloadError as error:
        raise web.HTTPBadRequest(text="the body cannot be read") from error


def _too_large(most: int) -> web.HTTPException:
    return web.HTTPRequestEntityTooLarge(
        most, most + 1, text=f"the body must be at most {most:,} bytes"
    )
