"""Waiting for a condition instead of sleeping."""

import time


class ConditionNotMet(AssertionError):
    pass


def await_condition(condition, deadline: float = 10.0, what: str = "", interval: float = 0.01):
    """Calls condition() until it returns something true, and returns that; ConditionNotMet after `deadline` seconds.

    An AssertionError inside the condition counts as "not yet" and is shown if time runs out.
    """
    end = time.monotonic() + deadline
    last = None
    while True:
        try:
            value = condition()
            last = value
            if value:
                return value
        except AssertionError as error:
            last = error
        if time.monotonic() >= end:
            name = what or getattr(condition, "__name__", "condition")
            raise ConditionNotMet(f"not within {deadline} s: {name} (last: {last!r})")
        time.sleep(interval)
        interval = min(interval * 1.5, 0.25)
