"""Says which attributes of an ARFF file are labels: MULAN's XML, MEKA's -C."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree

from tfxml.data import data_errors
from tfxml.data.formats import arff_grammar

_MAX_XML_BYTES = 1 << 26
_NUM_LABELS = re.compile(r".*:.*-[Cc]\s+(-?[0-9]{1,9})\b.*", re.DOTALL)


def read(path: str, header: arff_grammar.Header) -> list[str]:
    """Returns the names of the attributes that are labels, in their order.

    Raises DataError where neither the XML nor the relation names them.
    """
    xml_path = _xml_path(path)
    if xml_path:
        return _read_xml(xml_path)
    match = _NUM_LABELS.fullmatch(header.relation)
    if not match:
        raise data_errors.DataError(
            path,
            "no XML file beside it, and no -C in its @relation",
            "the labels in XML, as MULAN has them, or their number after -C",
        )
    number = int(match[1])
    chosen = header.attributes[:number] if number > 0 else header.attributes
    chosen = chosen[number:] if number < 0 else chosen
    return [attribute.name for attribute in chosen]


def _xml_path(path: str) -> str | None:
    """Returns the XML whose name fits best, of those beside the file."""
    folder, name = os.path.split(path)
    names = [n for n in sorted(os.listdir(folder or ".")) if n.endswith(".xml")]
    fitting = [n for n in names if name.startswith(n.removesuffix(".xml"))]
    if not fitting and len(names) > 1:
        raise data_errors.DataError(
            path,
            f"{' and '.join(names[:5])} beside it",
            "one XML file, or one whose name this file's starts with",
        )
    chosen = max(fitting or names, key=len, default=None)
    return os.path.join(folder, chosen) if chosen else None


def _read_xml(path: str) -> list[str]:
    """Returns the labels' names in order, those below others too."""
    with open(path, "rb") as file:
        content = file.read(_MAX_XML_BYTES)
    if b"<!" in content.replace(b"<!--", b""):
        raise data_errors.DataError(
            path, "a document type or entities", "XML without them"
        )
    try:
        root = xml.etree.ElementTree.fromstring(content)
    except (xml.etree.ElementTree.ParseError, ValueError, LookupError) as error:
        line = getattr(error, "position", (None,))[0]
        raise data_errors.DataError(path, str(error), "XML", line) from error
    labels = [e for e in root.iter() if e.tag.rpartition("}")[2] == "label"]
    found = [label.get("name") for label in labels]
    names = [name for name in found if name is not None]
    if not names or len(set(names)) < len(labels):
        raise data_errors.DataError(
            path,
            f"{len(labels)} labels, {len(set(names))} of them named distinctly",
            "<label name=...> for each label",
        )
    return names
