"""Waiting: for a condition with a deadline, never for a time.

This is the only place of the test suite that lets time pass.
"""
import os
import time

# Deadlines are for a usual machine; an emulated one says how much slower it is.
SLOW = float(os.environ.get("EDGED_TEST_SLOW", "1"))


class Timeout(AssertionError):
    """A condition did not come true in time."""


def until(condition, seconds=10.0, what=None, every=0.02):
    """Call condition() until it returns something true, and return that.

    An exception counts as "not yet"; the last one is shown when the time is up.
    """
    seconds *= SLOW
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = repr(value)
        except (OSError, AssertionError, ValueError, KeyError, LookupError) as error:
            last = f"{type(error).__name__}: {error}"
        if time.monotonic() >= deadline:
            name = what or getattr(condition, "__name__", "condition")
            raise Timeout(f"waited {seconds:g} s for: {name} (last: {last})")
        time.sleep(every)


def stays(condition, seconds, what=None, every=0.05):
    """Assert that condition() is true now and until the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"did not stay so for {seconds:g} s: {what or condition}"
        time.sleep(every)
