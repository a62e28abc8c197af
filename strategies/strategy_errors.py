"""The one error that a wrong strategy, cluster or option raises."""

from __future__ import annotations

WEEK = 604_800.0  # seconds; far longer waits overflow the system's clocks


class StrategyError(ValueError):
    """Names the wrong field, what it must be and what was received."""

    def __init__(self, field: str, needed: str, value: object):
        self.field = field
        self.needed = needed
        self.value = value
        super().__init__(
            f"`{field}` must be {needed}. Received: {field}={value!r}"
        )


def check_choice(field: str, value: str, names: tuple[str, ...]) -> None:
    """Raises unless `value` is one of `names`."""
    if value not in names:
        raise StrategyError(field, f"one of {', '.join(names)}", value)


def check_at_least(field: str, value: int, minimum: int) -> None:
    """Raises unless `value` is an integer of at least `minimum`."""
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not is_integer or value < minimum:
        raise StrategyError(field, f"an integer >= {minimum}", value)


def check_seconds(field: str, value: float) -> None:
    """Raises unless `value` is a positive number, and a week at most."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= WEEK:
        need = f"a number of seconds > 0, at most {WEEK:,.0f}"
        raise StrategyError(field, need, value)
