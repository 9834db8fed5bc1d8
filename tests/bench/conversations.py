"""Random conversations over bad lines: what the header costs beside plain DNAT, when both meet the same losses.

On each line, on both sides of the edge, 2.5% of all segments are lost and 2.5% come late, so that 5% are lost and 5% late
between the ends. Which ones, the seed, the conversation, the direction and the number of the segment in it decide. Every
conversation is had over plain DNAT, over plain DNAT again (so much is chance: timers, and who comes first), and with the
header; each byte and each header is compared with what was sent. Those that take more than three times as long as over
DNAT are had again with three other seeds of losses: one that is too slow with all of them would be slow by the header. (The
node acknowledges the header in a segment more, so that from then on its losses meet the segment before: by that alone some
take three times as long, and as many should take a third.) `sudo make bench-conversations COUNT=10000`.
"""
import argparse
import contextlib
import os
import pathlib
import random
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "netns")]
sys.dont_write_bytecode = True

import test_conversations as bad  # noqa: E402
from harness.dialogue import Conversations  # noqa: E402

FIRST_PORT, MOST = 10000, 50000
LINES = {"loss": 25, "duplicate": 10, "reorder": 25, "seconds": 3 * 3600}  # after which a relay ends by itself
RATIO, HEADERS, CHUNK, OTHER_LOSSES = 3, ("v2", "v1"), 200, 100


class Place:
    """A way through the edge, on lines of its own."""

    def __init__(self, number, header, seed, losses):
        self.header, self.seed, self.took = header, seed, {}
        self.line = bad.BadLine(f"{os.environ.get('EDGED_TEST_PREFIX', 'edgedtest')}-{os.getpid()}-talk{number}")
        self.line.edged = None
        try:
            bad.start(self.line, pathlib.Path(tempfile.mkdtemp(prefix="edged-bench-")), header, "kernel")
            self.line.spoil(**LINES, seed=losses, by_flow=True)
        except BaseException:
            self.remove()
            raise

    def have(self, ports):
        with contextlib.closing(bad.listen(self.line.server, bad.SERVER)) as listener:
            talk = Conversations(self.seed, listener, bad.dialler(self.line.client, bad.CLIENT), (bad.EDGE, 80),
                                 lambda port: self.header != "none" and (self.header, bad.CLIENT, port, bad.EDGE, 80))
            talk.run(ports)
        self.took.update(talk.took)

    def remove(self):
        if self.line.edged:
            self.line.edged.stop()
        self.line.remove()


def have(ports, headers, seed, losses):
    """A {port: seconds} for each of the headers; some hundred conversations each in turn, so that what else the machine
    does meanwhile hits all alike."""
    places, order = [], random.Random(seed)
    try:
        for number, header in enumerate(headers):
            places.append(Place(number, header, seed, losses))
        for start in range(0, len(ports), CHUNK):
            for place in order.sample(places, len(places)):
                place.have(ports[start:start + CHUNK])
        assert not any(place.line.checksum_errors() for place in places)
        return [place.took for place in places], places[-1].line.what_relays_did()
    finally:
        for place in places:
            place.remove()


def at(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def row(name, took, base):
    ratios = [took[port] / base[port] for port in base]
    slow = [port for port in base if took[port] > RATIO * base[port]]
    fast = [port for port in base if RATIO * took[port] < base[port]]
    cells = [name, f"{sum(took.values()) / sum(base.values()):.2f}", f"{at(ratios, .5):.2f}", f"{at(ratios, .99):.2f}",
             f"{max(ratios):.1f}", f"{len(slow)} of {len(base)}", len(fast), f"{at(took.values(), .5):.2f}",
             f"{at(took.values(), .99):.2f}", f"{max(took.values()):.1f}"]
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    return slow


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    ports = range(FIRST_PORT, FIRST_PORT + min(options.count, MOST))
    print("| against plain DNAT | all seconds | median ratio | p99 ratio | highest | above 3 | below 1/3 | median s | p99 s | "
          "longest s |\n|---|---|---|---|---|---|---|---|---|---|")
    (base, again, *with_header), did = have(ports, ("none", "none", *HEADERS), options.seed, options.seed)
    row("DNAT again", again, base)
    for header, took in zip(HEADERS, with_header):
        slow, losses = row(f"kernel, {header}", took, base), options.seed
        while slow and losses < options.seed + 3 * OTHER_LOSSES:
            losses += OTHER_LOSSES
            (other, took), _ = have(slow, ("none", header), options.seed, losses)
            slow = [port for port in slow if took[port] > RATIO * other[port]]
        print(f"<!-- {header}: above 3 with every seed of losses: {slow or 'none'} -->", flush=True)
    print(f"<!-- on both lines, of one way: {did} -->")


if __name__ == "__main__":
    main()
