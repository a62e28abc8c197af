"""The project's Markdown: its code blocks, its commands, and code that is run.

    python tests/documents.py RESULT.json PAGE.md ...

runs the Python blocks of pages one after the other, those of a page in one
namespace and in an empty folder, and writes each page's error or null.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import runpy
import shlex
import sys
import tempfile
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[1]
# On the line before a block that is not run, with the reason.
_NOT_RUN = re.compile(r"<!-- not run: .+ -->")
# Or one that is a script of its own: how `strategies.launch` starts it.
_LAUNCHED = re.compile(r"<!-- launched: (alone|--.+) -->")
_FENCE = re.compile(r"( *)```(\w*)$")
_OPERATORS = {"|", "||", "&&", "&", ";", "--", "done", ">"}


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    language: str
    line: int  # of its first line of code, from 1
    text: str
    is_run: bool  # with the other blocks of its page
    launched: str | None  # "alone", or the launcher's words


@dataclasses.dataclass(frozen=True)
class Command:
    """`python -m MODULE WORDS` or `python FILE WORDS`."""

    program: str  # "tfxml.train" or "benchmarks/peers.py"
    words: tuple[str, ...]


def pages() -> list[pathlib.Path]:
    """Returns the pages that speak of the project as it is."""
    names = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
    return [ROOT / name for name in names] + sorted(
        (ROOT / "docs").rglob("*.md")
    )


def name_of(page: pathlib.Path) -> str:
    """Returns a page's path in the project."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[Block]:
    """Returns the fenced blocks of a page."""
    found, opened, lines = [], None, text.splitlines()
    for number, line in enumerate(lines, 1):
        match = _FENCE.fullmatch(line)
        if not match:
            continue
        if opened is None:
            opened = (number, *match.groups())
            continue
        first, indent, language = opened
        code = [row.removeprefix(indent) for row in lines[first : number - 1]]
        before = lines[first - 2].strip() if first > 1 else ""
        script = _LAUNCHED.fullmatch(before)
        is_apart = script or _NOT_RUN.fullmatch(before)
        is_run = language == "python" and not is_apart
        found.append(
            Block(
                language,
                first + 1,
                "\n".join(code),
                is_run,
                script[1] if script else None,
            )
        )
        opened = None
    if opened is not None:
        raise ValueError(f"the block of line {opened[0]} does not end")
    return found


def code_spans(text: str) -> list[str]:
    """Returns what stands between single backticks outside of blocks."""
    outside = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.M | re.S)
    spans = re.findall(r"(?<!`)`([^`]+)`(?!`)", outside)
    return [" ".join(span.split()) for span in spans]


def commands(text: str) -> list[Command]:
    """Returns the Python commands of a page's shell blocks and code spans."""
    shell = [block.text for block in blocks(text) if block.language == "sh"]
    spans = [span for span in code_spans(text) if "python " in span]
    found = []
    for script in [*shell, *spans]:
        for line in script.replace("\\\n", " ").splitlines():
            found += _commands_of_line(line)
    return found


def _commands_of_line(line: str) -> list[Command]:
    words = shlex.split(line.replace(";", " ; "), comments=True)
    starts = [
        place
        for place, word in enumerate(words[:-1])
        if pathlib.PurePath(word).name in ("python", "python3")
    ]
    found = []
    for start in starts:
        program, *rest = words[start + 1 :]
        if program == "-m":
            program, *rest = rest
        end = next(
            (place for place, word in enumerate(rest) if word in _OPERATORS),
            len(rest),
        )
        found.append(Command(program, tuple(rest[:end])))
    return found


def anchors(text: str) -> set[str]:
    """Returns the anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


def links(text: str) -> list[str]:
    """Returns the targets of a page's links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", text)


def _run_page(page: pathlib.Path) -> str | None:
    """Runs a page's blocks; returns the traceback of what they raise."""
    text = page.read_text()
    code = [""] * len(text.splitlines())
    for block in blocks(text):
        if block.is_run:
            rows = block.text.split("\n")
            code[block.line - 1 : block.line - 1 + len(rows)] = rows
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        # Lines are numbered as in the page.
        script = pathlib.Path(folder, f"{page.stem.replace('-', '_')}.py")
        script.write_text("\n".join(code) + "\n")
        os.chdir(folder)
        try:
            runpy.run_path(str(script), run_name=script.stem)
        except Exception:
            return traceback.format_exc()
        finally:
            os.chdir(home)
    return None


def main(result: str, *paths: str) -> None:
    errors = {path: _run_page(pathlib.Path(path)) for path in paths}
    pathlib.Path(result).write_text(json.dumps(errors))


if __name__ == "__main__":
    main(*sys.argv[1:])
