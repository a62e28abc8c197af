"""Fetches a data set as `tfxml.download` does, from a server of a test.

Run by `killing.Killer`, with the server's address and the folder as words.
"""

import dataclasses
import sys

from tfxml.data.catalogue import known_sets, named_sets
from tfxml.run import command_door


def run():
    command_door.run(_fetch)
    raise SystemExit(0)


def _fetch():
    url, folder = sys.argv[1:]
    mirror = known_sets.Mirror("test", url, "all of it")
    entry = dataclasses.replace(
        named_sets.entry_of(known_sets.names()[0]), mirrors=(mirror,)
    )
    found = named_sets.ensure(entry, folder)
    assert found.splits == ("test", "train")
