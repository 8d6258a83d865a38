"""The smallest conversation that still differs, by leaving out (delta debugging)."""

import time

from .steps import Conversation, Step

_NEEDED = ("query", "sync", "function_call", "await")


def shrink(conversation: Conversation, place: int, differs, seconds: float) -> Conversation:
    """Leaves out what came after the step of the difference, then sessions, then runs of steps, then messages, as long as
    `differs(conversation)`; for so many seconds.
    """
    end = time.monotonic() + seconds

    def keeps(steps) -> bool:
        return time.monotonic() < end and differs(conversation._replace(steps=tuple(steps)))

    steps = list(conversation.steps)
    if keeps(steps[: place + 1]):
        steps = steps[: place + 1]
    for who in {step.who for step in steps if isinstance(step, Step)}:
        without = [step for step in steps if not isinstance(step, Step) or step.who != who]
        if keeps(without):
            steps = without
    before = None
    while before != len(steps):
        before = len(steps)
        steps = _without_runs(steps, keeps)
    steps = _without_parts(steps, keeps)
    return conversation._replace(steps=tuple(_without_runs(steps, keeps)))


def _without_runs(steps: list, keeps) -> list:
    size = len(steps) // 2
    while size >= 1:
        begin = 0
        while begin < len(steps):
            fewer = steps[:begin] + steps[begin + size :]
            if keeps(fewer):
                steps = fewer
            else:
                begin += size
        size //= 2
    return steps


def _without_parts(steps: list, keeps) -> list:
    for number in range(len(steps)):
        part = 0
        while isinstance(steps[number], Step) and part < len(steps[number].parts):
            step = steps[number]
            smaller = step._replace(parts=step.parts[:part] + step.parts[part + 1 :])
            alone = step.parts[part].function in _NEEDED and sum(p.function in _NEEDED for p in step.parts) == 1
            if not alone and keeps([*steps[:number], smaller, *steps[number + 1 :]]):
                steps = [*steps[:number], smaller, *steps[number + 1 :]]
            else:
                part += 1
    return steps
