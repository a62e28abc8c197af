"""Files that are uploaded, CSV or JSON lines, and their labels as either."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
from collections.abc import Iterator, Mapping

from tfxml.data import requests
from tfxml.run import (
    request_answers,
    request_predictor,
    set_choices,
    workdir,
)
from tfxml.serving import request_bodies

CONTENT_TYPES = {"csv": "text/csv", "jsonl": "application/jsonl"}
_NAME = "upload"
_BATCH = 256
_COLUMNS = ("text", "title", "content", "uid")
_MAX_FIELD = 1 << 24  # characters


@dataclasses.dataclass(frozen=True)
class Wanted:
    """How a file is to be read, and its answers written."""

    input: str
    output: str
    k: int
    way: str

    @classmethod
    def of(cls, query: Mapping[str, str], max_k: int) -> Wanted:
        """Returns what the query of a URL says.

        Raises:
            ValueError: if it says anything else.
        """
        if unknown := sorted(set(query) - {"input", "output", "k", "predict"}):
            raise ValueError(
                f"found {unknown}; needed input, output, k or predict"
            )
        for name in ("input", "output"):
            if query.get(name, "jsonl") not in CONTENT_TYPES:
                raise ValueError(
                    f"found {name}={query[name][:20]!r}; needed csv or jsonl"
                )
        k = query.get("k", str(min(request_bodies.DEFAULT_K, max_k)))
        return cls(
            query.get("input", "jsonl"),
            query.get("output", "jsonl"),
            request_bodies.whole_number(
                "k", int(k) if k.isascii() and k.isdigit() else k, 1, max_k
            ),
            request_bodies.one_of_ways(query.get("predict", set_choices.TOP_K)),
        )


def answers(
    body: bytes,
    wanted: Wanted,
    predictor: request_predictor.RequestPredictor,
    facts: workdir.Facts,
    choice: set_choices.SetChoice,
) -> Iterator[bytes]:
    """Yields the answers to a file, some lines at a time.

    A line that cannot be read is answered with its error.

    Args:
        body: the file; JSON lines as `predict` reads them, or CSV in UTF-8
            with a row of names: text, or title and content, perhaps uid.
        wanted: how to read and write.
        predictor: of the labels.
        facts: of the run.
        choice: which labels are answered.

    Raises:
        ValueError: if the file cannot be read at all.
    """
    if wanted.input == "csv":
        source: Iterator[bytes | str] = _json_of_csv(body)
    else:
        source = requests.lines(
            io.BufferedReader(io.BytesIO(body)),
            _NAME,
        )
    read = requests.read(
        source,
        _NAME,
        facts.num_features,
        facts.is_text,
        is_skipping=True,
        title_weight=predictor.title_weight,
    )
    lines = request_answers.predict_lines(
        predictor, read, _BATCH, wanted.k, choice=choice
    )
    return _written(lines, wanted)


def _json_of_csv(body: bytes) -> Iterator[str]:
    """Returns a JSON line for each row of a CSV file."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"found {error}; needed UTF-8") from error
    csv.field_size_limit(_MAX_FIELD)
    rows = csv.reader(io.StringIO(text, newline=""))
    names = next(rows, [])
    places = {name: names.index(name) for name in _COLUMNS if name in names}
    if not set(places) - {"uid"}:
        raise ValueError(
            f"found the columns {names}"[:200]
            + f"; needed a first row with some of {', '.join(_COLUMNS)}"
        )

    def lines() -> Iterator[str]:
        try:
            for row in rows:
                yield json.dumps(
                    {
                        name: row[place]
                        for name, place in places.items()
                        if place < len(row)
                    }
                )
        except csv.Error as error:
            yield f"[{json.dumps(f'no CSV: {error}')}]"

    return lines()


def _written(lines: Iterator[str], wanted: Wanted) -> Iterator[bytes]:
    first = True
    while batch := list(itertools.islice(lines, _BATCH)):
        if wanted.output == "jsonl":
            yield "".join(batch).encode()
            continue
        sink = io.StringIO(newline="")
        writer = csv.writer(sink)
        if first:
            first = False
            names = [
                f"{what}_{place}"
                for place in range(1, wanted.k + 1)
                for what in ("label", "score")
            ]
            writer.writerow(["uid", *names, "error"])
        for row in map(json.loads, batch):
            pairs = zip(
                row.get("label_names", []), row.get("scores", []), strict=True
            )
            cells = list(itertools.chain.from_iterable(pairs))
            cells += [""] * (2 * wanted.k - len(cells))
            name = row.get("uid", row.get("line"))
            writer.writerow([name, *cells, row.get("error", "")])
        yield sink.getvalue().encode()
