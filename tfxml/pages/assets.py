"""The files of web pages, and pages made of templates."""

from __future__ import annotations

import functools
import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

_FOLDER = pathlib.Path(__file__).parent / "files"


def read(name: str) -> str:
    """Returns a file of the pages, such as `base.css`."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def render(template: str, /, **values: Any) -> str:
    """Returns a page: the template with the values, all of them escaped."""
    return _environment().get_template(template).render(**values)


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # of extras: only pages with templates need it

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
