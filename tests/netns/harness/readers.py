"""What the kernel holds, read by programs that are not ours: nft, conntrack, ss."""
import contextlib
import json
import os
import re
import signal

from .wait import until


def ruleset(space, *what):
    """`nft list ruleset` (or list WHAT), as text."""
    return space.run("nft", *("list", *(what or ("ruleset",)))).stdout


def ruleset_json(space):
    return json.loads(space.run("nft", "-j", "list", "ruleset").stdout)["nftables"]


def stable_ruleset(space, table="inet edged"):
    """A table as text without what changes by itself: counters' values, dynamic elements, expiry. With handles: when
    it is the same later, nothing in it was made anew."""
    text = space.run("nft", "-a", "list", "table", *table.split(), check=False).stdout
    text = re.sub(r"packets \d+ bytes \d+", "packets N bytes N", text)
    text = re.sub(r" progname \S+", "", text)
    text = re.sub(r" expires [0-9a-z]+", "", text)
    # A set that packets fill is flagged dynamic; its elements are theirs.
    return re.sub(r"(flags [a-z,]*dynamic[^}]*?)elements = \{[^}]*\}", r"\1", text)


def rules(space, table="inet edged"):
    """What a table says, however it came to be: no handles, objects by name, elements in order."""
    text = re.sub(r" ?# handle \d+", "", stable_ruleset(space, table))
    text = re.sub(r"elements = \{([^}]*)\}", lambda match: "elements = { " + ", ".join(
        sorted(element.strip() for element in match[1].split(","))) + " }", text)
    head, _, body = text.rstrip().removesuffix("}").rstrip().partition("\n")
    return "\n\n".join([head, *sorted(re.split(r"\n\s*\n", body))])


def counter(space, name, table="inet edged"):
    """(packets, bytes) of a named counter; (0, 0) when there is none."""
    result = space.run("nft", "-j", "list", "counter", *table.split(), name, check=False)
    if result.returncode:
        return 0, 0
    for item in json.loads(result.stdout)["nftables"]:
        if "counter" in item:
            return item["counter"]["packets"], item["counter"]["bytes"]
    return 0, 0


def set_elements(space, name, table="inet edged"):
    """The elements of a set, as nft's JSON has them; None when there is no such set."""
    result = space.run("nft", "-j", "list", "set", *table.split(), name, check=False)
    if result.returncode:
        return None
    for item in json.loads(result.stdout)["nftables"]:
        if "set" in item:
            return item["set"].get("elem", [])
    return None


def table_exists(space, table="inet edged"):
    return space.run("nft", "list", "table", *table.split(), check=False).returncode == 0


def conntrack(space, *filters):
    """Entries as dicts of the original direction (src, dst, sport, dport) with reply-*, state, mark, protocol."""
    found = []
    for line in space.run("conntrack", "-L", *filters, check=False).stdout.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        entry = {"protocol": words[0], "line": line, "state": ""}
        for word in words[2:]:
            if "=" in word:
                name, value = word.split("=", 1)
                entry["reply-" + name if name in entry and name != "mark" else name] = value
            elif word.isupper() and not word.startswith("["):
                entry["state"] = word
        found.append(entry)
    return found


def listeners(space):
    """{(address, port)} of listening TCP sockets, by ss."""
    found = set()
    for line in space.run("ss", "-Htln").stdout.splitlines():
        address, port = line.split()[3].rsplit(":", 1)
        found.add((address.strip("[]").split("%")[0], int(port)))
    return found


@contextlib.contextmanager
def nft_events(space, folder):
    """Record what anyone changes in nftables meanwhile; the list is filled at the end of the block.

    A marker table of ours, made at the end, proves that everything before it was seen.
    """
    path, events = os.path.join(folder, "nft-monitor.txt"), []
    with open(path, "w"):
        pass
    monitor = space.start("nft", "monitor", log=path)

    def lines():
        with open(path) as file:
            return [line.strip() for line in file if line.strip()]

    def mark(name):
        space.run("nft", "add", "table", "ip", name)
        try:
            return any(f"add table ip {name}" in line for line in lines())
        finally:
            space.run("nft", "delete", "table", "ip", name)

    until(lambda: mark("marker_begin"), 10, "nft monitor to listen")
    try:
        yield events
    finally:
        until(lambda: mark("marker_end"), 10, "nft monitor to have seen the end")
        monitor.send_signal(signal.SIGINT)
        space.stop(monitor)
        events.extend(line for line in lines() if "marker_" not in line and "new generation" not in line)
