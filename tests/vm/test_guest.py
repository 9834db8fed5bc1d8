"""The scripts of guest/, each on Debian's kernels."""
import pytest


def test_guest(guest_result):
    if guest_result.skipped:
        pytest.skip(guest_result.skipped)
    print(guest_result.output)
    assert guest_result.status == 0, f"{guest_result.name}: status {guest_result.status}\n{guest_result.output}"
