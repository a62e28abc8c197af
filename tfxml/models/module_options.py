"""What is known of a head, loss or encoder before TensorFlow is imported.

A module's options lie in a file without TensorFlow, so that commands can check
their flags before they import it, which takes seconds.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar


@dataclasses.dataclass(frozen=True)
class ModuleOptions:
    """The options of a module, here none, and the rules that hold for them.

    Rules are given the whole recipe, which is an instance of every class of
    options.
    """

    needs_encoder: ClassVar[bool] = True  # whether a head cannot read rows
    models_sets: ClassVar[bool] = False  # whether a head has `label_sets`
    # Whether a head reads the states of a text's words, not one vector.
    reads_states: ClassVar[bool] = False
    # Whether an encoder can return them.
    gives_states: ClassVar[bool] = False

    @classmethod
    def check(cls, options: Any) -> None:
        """Raises ValueError for options under which it cannot be built."""

    @classmethod
    def passes_rows(cls, options: Any) -> bool:
        """Tells of an encoder whether there is none: the head reads rows."""
        return False
