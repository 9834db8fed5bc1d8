"""What the tests call the namespaces that they make."""
import os
import re

PREFIX = os.environ.get("EDGED_TEST_PREFIX", "edgedtest")


def short_name(text):
    return re.sub(r"[^a-z0-9]+", "_", text.lower().removeprefix("test_"))[:40].strip("_")
