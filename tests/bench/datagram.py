"""What one datagram of a flow that is let in pays on its way to a socket of this machine, as each of a tunnel's own does:
behind no rules, behind the least of a firewall that keeps states, behind what a router has by hand, and behind edged.

Two namespaces with a veth; the receiver's queue is full, so that each datagram ends where it would be queued. All of its way
is run by the sender's system call, and so the sender's own CPU time is what it costs, whatever else the machine does. Each
way has a network of its own and they take turns, in random order; shown are medians, and what each has above no rules.
"""
import argparse
import os
import random
import resource
import socket
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "netns")]
sys.dont_write_bytecode = True

from harness import Edged, config, rule  # noqa: E402
from tunnels import BARE, EDGE, Guarded, Place  # noqa: E402

PORT, SIZE = 51820, 1452
# And no packet from where its source is not, forwarding that is closed, and what NAT needs: what edged promises, too.
ROUTER = Guarded.rules + (
    "\tchain raw {\n\t\ttype filter hook prerouting priority -300;\n\t\tfib saddr . iif oif missing drop\n\t}\n"
    "\tchain forward {\n\t\ttype filter hook forward priority 0; policy drop;\n"
    "\t\tct state established,related accept\n\t\tiifname lan oifname wan accept\n\t\tct status dnat accept\n\t}\n"
    "\tchain before {\n\t\ttype nat hook prerouting priority -100;\n"
    "\t\tiifname wan tcp dport 80 dnat ip to 198.18.100.2\n\t}\n"
    "\tchain after {\n\t\ttype nat hook postrouting priority 100;\n"
    "\t\toifname wan ip saddr 198.18.100.0/24 masquerade\n\t}\n")
WAYS = (("no rules", None), ("four rules", Guarded.rules), ("a router by hand", ROUTER), ("edged", "edged"))


class Way(Place):
    def __init__(self, number, name, rules=None):
        super().__init__(number)
        self.name, self.edged, self.times = name, None, []
        if rules == "edged":
            self.edged = Edged(self.edge, os.path.join(self.folder, "edged"), config(**BARE, rules=[
                rule("in", **{"from": "wan", "to": "self", "protocol": "udp", "port": PORT, "action": "accept"})]),
                supervised=False).start()
        elif rules:
            self.edge.nft(f"table inet guard {{\n{rules}}}\n")
        with self.edge.inside():
            self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.bind((EDGE, PORT))
        with self.node.inside():
            self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.connect((EDGE, PORT))
        self.sender.send(b"a")
        self.receiver.settimeout(5)
        _, sender = self.receiver.recvfrom(10)  # it is let in
        self.receiver.sendto(b"b", sender)  # and established
        self.sender.settimeout(5)
        self.sender.recv(10)
        self.send(1000)

    def send(self, count):
        data = bytes(SIZE)
        for _ in range(count):
            self.sender.send(data)

    def measure(self, count):
        before = resource.getrusage(resource.RUSAGE_SELF)
        self.send(count)
        after = resource.getrusage(resource.RUSAGE_SELF)
        self.times.append((after.ru_stime + after.ru_utime - before.ru_stime - before.ru_utime) / count * 1e9)

    def remove(self):
        if self.edged:
            self.edged.stop()
        super().remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--count", type=int, default=20000, help="datagrams of each measurement")
    options = parser.parse_args()
    ways = []
    try:
        for number, (name, rules) in enumerate(WAYS):
            ways.append(Way(number, name, rules))
        for _ in range(options.rounds):
            for way in random.sample(ways, len(ways)):
                way.measure(options.count)
    finally:
        for way in ways:
            way.remove()
    print("| | ns | above no rules |\n|---|---:|---:|")
    for way in ways:
        above = statistics.median(a - b for a, b in zip(way.times, ways[0].times))
        print(f"| {way.name} | {statistics.median(way.times):,.0f} | {above:,.0f} |")


if __name__ == "__main__":
    main()
