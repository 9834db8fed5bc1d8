"""Header injection, segment by segment: what is lost, repeated, out of order, early, late.

Both ends are puppets. One test for each hard case of docs/header.md.
"""
import os
import struct

import pytest

from harness.header import Line
from harness.puppet import ACK, FIN, NOP, PSH, RST, SYN, blocks_of, option, sack, timestamps
from harness.talk import Talk
from harness.names import PREFIX, short_name

LENGTH = {4: 28, 6: 52}


@pytest.fixture(scope="module", params=["whole", "complete"])
def line(root, request, tmp_path_factory):
    """One CPU, so that packets keep their order. complete: the edge gets each packet of the node with its sum, as from many
    a network card, and that stays true."""
    before, complete = os.sched_getaffinity(0), request.param == "complete"
    os.sched_setaffinity(0, {min(before)})
    line = Line(f"{PREFIX}-{os.getpid()}-segments", str(tmp_path_factory.mktemp("line")), puppet=True, complete=complete)
    yield line
    try:
        if complete:
            other, seen, wrong = line.summed_up()
            assert (other, wrong) == (0, 0) and seen > 0
    finally:
        line.remove()
        os.sched_setaffinity(0, before)


@pytest.fixture(params=[4, 6])
def talk(request, line, port):
    with Talk(line, request.param, sport=port) as talk:
        talk.length = LENGTH[request.param]
        yield talk


@pytest.fixture
def port():
    port.last += 1
    return port.last


port.last = 40000


def test_bare_ack_carries_the_header(talk):
    talk.open()
    talk.to_node(payload=b"GET /")
    talk.at_node(seq=talk.length, payload=b"GET /")
    talk.to_client(ack=talk.length + 5, payload=b"200")
    talk.at_client(seq=0, ack=5, payload=b"200")
    talk.nothing_at_node()


def test_acknowledgement_of_the_header_alone_stays_here(talk):
    """The client has sent nothing that it could be for. A second one (the answer to a probe) passes."""
    talk.open(acknowledged=False)
    talk.to_client(ack=talk.length)
    talk.nothing_at_client()
    talk.to_client(ack=talk.length)
    talk.at_client(ack=0)


def test_first_data_follows_the_header_without_a_second_one(talk):
    talk.open(acknowledged=False)
    talk.to_node(payload=b"GET /")
    talk.at_node(seq=talk.length, payload=b"GET /")
    talk.nothing_at_node()


def test_lost_header_goes_again_with_the_retransmission(talk):
    talk.open(acknowledged=False)
    talk.to_node(payload=b"GET /")
    talk.at_node(seq=talk.length, payload=b"GET /")
    for _ in range(2):
        talk.to_node(payload=b"GET /")
        talk.at_node(seq=0, ack=0, flags=ACK | PSH, payload=talk.header)
        talk.at_node(seq=talk.length, payload=b"GET /")
    talk.nothing_at_node()


def test_lost_header_is_asked_for_by_the_nodes_ack(line, port):
    with Talk(line, sport=port, stamps=True) as talk:
        talk.syn(options=timestamps(90, 0))
        talk.to_node(window=1234)
        talk.at_node(seq=0, payload=talk.header)
        talk.to_node(payload=b"GET /", window=1234)
        talk.at_node(seq=28, payload=b"GET /")
        talk.to_client(ack=0, seq=0, options=timestamps(900, 100) + sack((talk.isn + 29, talk.isn + 34)))
        again = talk.at_node(seq=0, ack=0, flags=ACK | PSH, payload=talk.header, window=1234)
        assert option(again.options, 8) == struct.pack("!II", 100, 900)
        talk.nothing_at_client()
        talk.to_client(ack=33)
        talk.at_client(ack=5)


def test_answer_acknowledges_only_what_the_client_did(talk):
    """The node has sent data already: only the client may acknowledge that."""
    talk.open(acknowledged=False)
    talk.to_client(seq=100, ack=0)
    talk.at_node(seq=0, ack=0, payload=talk.header)


def test_lost_acknowledgement_of_the_header(talk):
    """The node has the header, the edge has not seen it say so."""
    talk.open(acknowledged=False)
    talk.to_node(payload=b"GET /")
    talk.at_node(seq=talk.length, payload=b"GET /")
    talk.to_node(payload=b"GET /")
    talk.at_node(seq=0, payload=talk.header)
    talk.at_node(seq=talk.length, payload=b"GET /")
    base = talk.isn + 1
    talk.to_client(ack=talk.length + 5, options=sack((base, base + talk.length)))
    assert blocks_of(talk.at_client(ack=5).options) == []
    talk.to_node(seq=5, payload=b"more")
    talk.at_node(seq=talk.length + 5, payload=b"more")
    talk.nothing_at_node()


def test_client_segments_out_of_order(talk):
    talk.open(acknowledged=False)
    talk.to_node(seq=5, payload=b"second")
    talk.at_node(seq=talk.length + 5, payload=b"second")
    talk.to_node(payload=b"first")
    talk.at_node(seq=talk.length, payload=b"first")
    talk.nothing_at_node()


def test_second_segment_before_any_header(talk):
    """The bare ACK and the first segment are late: nothing but the header may stand first."""
    talk.syn()
    talk.to_node(seq=5, payload=b"second")
    talk.at_node(seq=talk.length + 5, payload=b"second")
    talk.to_node(payload=b"first")
    talk.at_node(seq=0, flags=ACK | PSH, payload=talk.header)
    talk.at_node(seq=talk.length, payload=b"first")


@pytest.mark.parametrize("flags", [ACK | PSH, ACK | PSH | FIN])
def test_data_with_the_first_ack(talk, flags):
    talk.syn()
    talk.to_node(flags=flags, payload=b"first")
    talk.at_node(seq=0, ack=0, flags=ACK | PSH, payload=talk.header)
    talk.at_node(seq=talk.length, flags=flags, payload=b"first")


def test_fin_with_the_first_ack(talk):
    talk.syn()
    talk.to_node(flags=ACK | FIN)
    talk.at_node(seq=0, flags=ACK | PSH, payload=talk.header)
    talk.at_node(seq=talk.length, flags=ACK | FIN, payload=b"")
    talk.to_client(ack=talk.length + 1)
    talk.at_client(ack=1)


def test_server_speaks_first(talk):
    talk.open(acknowledged=False)
    talk.to_client(ack=talk.length, payload=b"220 ready")
    talk.at_client(seq=0, ack=0, payload=b"220 ready")
    talk.to_node(ack=9)
    talk.at_node(seq=talk.length, ack=9, payload=b"")
    talk.to_node(ack=9, payload=b"EHLO")
    talk.at_node(seq=talk.length, ack=9, payload=b"EHLO")


def test_first_message_of_several_segments(talk):
    talk.open(acknowledged=False)
    parts = [bytes([65 + i]) * 1300 for i in range(3)]
    for i, part in enumerate(parts):
        talk.to_node(seq=1300 * i, payload=part)
    for i, part in enumerate(parts):
        talk.at_node(seq=talk.length + 1300 * i, payload=part)
    talk.nothing_at_node()


@pytest.mark.parametrize("name, blanked", [
    ("fast open", struct.pack("!BB", 34, 10) + b"12345678"),
    ("fast open, asked for", struct.pack("!BB", 34, 2)),
    ("fast open on trial", struct.pack("!BBH", 254, 12, 0xf989) + b"12345678"),
    ("mptcp", struct.pack("!BB", 30, 12) + b"\x81" * 10)])
def test_syn_options_that_would_go_round_the_header(talk, name, blanked):
    kept = struct.pack("!BBH", 2, 4, 1460) + NOP + struct.pack("!BBB", 3, 3, 7)
    syn = talk.syn(options=kept + blanked)
    assert syn.options.startswith(kept + NOP * len(blanked)) and len(syn.options) == (8 + len(blanked) + 3) // 4 * 4
    talk.to_node()
    talk.at_node(seq=0, payload=talk.header)


@pytest.mark.parametrize("options", [b"", struct.pack("!BB", 34, 10) + b"12345678"])
def test_data_in_the_syn_is_cut_off(talk, options):
    talk.syn(options=options, payload=b"early")
    talk.to_node(payload=b"early")
    talk.at_node(seq=0, payload=talk.header)
    talk.at_node(seq=talk.length, payload=b"early")


def test_other_syn_options_stay(talk):
    options = struct.pack("!BBH", 2, 4, 1460) + struct.pack("!BB", 4, 2) + struct.pack("!BBII", 8, 10, 1, 0) + NOP + \
        struct.pack("!BBB", 3, 3, 14)
    assert talk.syn(options=options).options == options


@pytest.mark.parametrize("before", [b"", timestamps(900, 100)])
def test_sack_blocks_are_shifted(talk, before):
    talk.open(options=struct.pack("!BB", 4, 2))
    base, length = talk.isn + 1, talk.length
    talk.to_node(payload=b"x" * 1000)
    talk.at_node(seq=length)
    here = [(200, 300), (400, 500), (600, 700)]
    blocks = sack(*((base + length + a, base + length + b) for a, b in here))
    talk.to_client(ack=length + 100, options=before + blocks)
    seen = talk.at_client(ack=100).options
    assert blocks_of(seen) == [(base + a, base + b) for a, b in here] and seen.startswith(before)


def test_sack_at_an_odd_place_and_with_timestamps(talk):
    talk.open(options=struct.pack("!BB", 4, 2))
    base, length = talk.isn + 1, talk.length
    talk.to_node(payload=b"x" * 1000)
    talk.at_node(seq=length)
    options = struct.pack("!BBII", 8, 10, 7, 8) + NOP + sack((base + length + 5, base + length + 9))[2:]
    talk.to_client(ack=length + 1, options=options)
    seen = talk.at_client(ack=1)
    assert blocks_of(seen.options) == [(base + 5, base + 9)] and option(seen.options, 8) == struct.pack("!II", 7, 8)


def test_dsack_of_the_header_goes_and_others_stay(talk):
    talk.open(options=struct.pack("!BB", 4, 2))
    base, length = talk.isn + 1, talk.length
    talk.to_node(payload=b"x" * 1000)
    talk.at_node(seq=length)
    talk.to_client(ack=length + 100, options=sack((base, base + length), (base + length + 200, base + length + 300)))
    assert blocks_of(talk.at_client(ack=100).options) == [(base + 200, base + 300)]
    # It reaches into data: what is left of it is below the acknowledgement, a DSACK still.
    talk.to_client(ack=length + 100, options=sack((base, base + length + 40), (base + length + 200, base + length + 300)))
    assert blocks_of(talk.at_client(ack=100).options) == [(base, base + 40), (base + 200, base + 300)]


def test_block_that_would_begin_at_the_acknowledgement(talk):
    """The header is lost, data behind it is there: for the client that would be a block at its own left edge."""
    talk.open(options=struct.pack("!BB", 4, 2), acknowledged=False)
    base, length = talk.isn + 1, talk.length
    talk.to_node(payload=b"x" * 100)
    talk.at_node(seq=length)
    talk.to_client(ack=0, payload=b"y", options=sack((base + length, base + length + 100)))
    assert blocks_of(talk.at_client(ack=0, payload=b"y").options) == []


def test_timestamps_and_window_are_the_ends_own(talk):
    talk.stamps = True
    talk.open(options=timestamps(90, 0) + struct.pack("!BBB", 3, 3, 9))
    talk.to_node(payload=b"a", window=777)
    assert option(talk.at_node(seq=talk.length, window=777).options, 8) == struct.pack("!II", 100, 900)
    talk.to_client(ack=talk.length + 1, window=555)
    assert option(talk.at_client(ack=1, window=555).options, 8) == struct.pack("!II", 900, 100)


def test_window_smaller_than_the_header(talk):
    """The client is told the node's own window. What it sends into it lies behind the node's, as long as the header is
    not acknowledged, and is sent again, with the header ahead."""
    talk.open(acknowledged=False)
    talk.to_client(flags=ACK | PSH, payload=b"hi", window=20)
    talk.at_client(ack=0, payload=b"hi", window=20)
    for again in (False, True):
        talk.to_node(ack=2, payload=b"x" * 20)
        if again:
            talk.at_node(seq=0, ack=2, flags=ACK | PSH, payload=talk.header)
        talk.at_node(seq=talk.length, ack=2, payload=b"x" * 20)
    talk.to_client(seq=2, ack=talk.length, window=20)
    talk.to_client(seq=2, ack=talk.length + 20, window=20)
    talk.at_client(seq=2, ack=20, window=20)
    talk.nothing_at_node()


@pytest.mark.parametrize("garbage", [b"", b"\0"])
def test_keep_alive_probe_before_data(talk, garbage):
    """The header is not known to have arrived: a probe may not reach into it."""
    talk.open(acknowledged=False)
    talk.to_node(seq=-1, payload=garbage)
    talk.at_node(seq=-1, payload=garbage)
    talk.to_client(ack=talk.length)
    talk.to_node(seq=-1, payload=garbage)
    talk.at_node(seq=talk.length - 1, payload=garbage)
    talk.to_client(ack=talk.length)
    talk.at_client(ack=0)
    talk.nothing_at_node()


def test_reset_of_the_client(talk):
    talk.open()
    talk.to_node(flags=RST)
    talk.at_node(seq=talk.length, flags=RST)


def test_reset_of_the_client_before_the_header_is_acknowledged(talk):
    """Wherever the node is, header ahead and reset behind it fit."""
    talk.open(acknowledged=False)
    talk.to_node(flags=RST | ACK)
    talk.at_node(seq=0, flags=ACK | PSH, payload=talk.header)
    talk.at_node(seq=talk.length, flags=RST | ACK)


def test_reset_out_of_the_window(talk):
    """It is shifted as all others are, and the node judges it. (One that is too old never passes conntrack.)"""
    talk.open()
    talk.to_node(payload=b"x" * 100)
    talk.at_node(seq=talk.length)
    talk.to_client(ack=talk.length + 100)
    talk.at_client(ack=100)
    talk.to_node(seq=150, flags=RST)
    talk.at_node(seq=talk.length + 150, flags=RST)


def test_reset_of_the_node(talk):
    talk.open()
    talk.to_client(flags=RST | ACK, ack=talk.length)
    talk.at_client(seq=0, ack=0, flags=RST | ACK)


def test_lost_reset_of_the_client_is_given_again(talk):
    """Behind the edge. To what the node says next, the client answers with the number that it reads there."""
    talk.open()
    talk.to_node(flags=RST | ACK)
    talk.at_node(seq=talk.length, flags=RST | ACK)
    for _ in range(2):
        talk.to_client(ack=talk.length, flags=ACK | PSH, payload=b"?")
        talk.at_client(ack=0, payload=b"?")
        talk.to_node(flags=RST)
        talk.at_node(seq=talk.length, flags=RST)


def test_lost_reset_of_the_node_is_given_again(talk):
    talk.open()
    talk.to_client(ack=talk.length, flags=RST | ACK)
    talk.at_client(ack=0, flags=RST | ACK)
    for _ in range(2):
        talk.to_node(flags=ACK | PSH, payload=b"?")
        talk.at_node(seq=talk.length, payload=b"?")
        talk.to_client(flags=RST)
        talk.at_client(flags=RST)


def test_refusal_of_the_node(talk):
    talk.client.send(talk.isn, 0, SYN)
    talk.at_node(seq=-1, flags=SYN)
    talk.node.send(0, talk.isn + 1, RST | ACK)
    talk.client.expect(seq=0, ack=talk.isn + 1, flags=RST | ACK)


def test_reset_of_a_node_with_syn_cookies(talk):
    """It lost the header, so that it does not know the flow: its reset is held back, and the next time the header goes
    ahead. A second reset passes."""
    talk.open(acknowledged=False)
    talk.to_node(payload=b"GET /")
    talk.at_node(seq=talk.length)
    talk.to_client(flags=RST)
    talk.nothing_at_client()
    talk.to_node(payload=b"GET /")
    talk.at_node(seq=0, payload=talk.header)
    talk.at_node(seq=talk.length, payload=b"GET /")
    talk.to_client(flags=RST)
    talk.at_client(seq=0, flags=RST)


def test_numbers_wrap(line, port):
    with Talk(line, sport=port, isn=0xffffffff - 10) as talk:
        talk.open()
        talk.to_node(payload=b"x" * 100)
        talk.at_node(seq=28)
        talk.to_client(ack=128)
        talk.at_client(ack=100)


def test_header_bytes_of_the_client_are_payload(talk):
    talk.open()
    talk.to_node(payload=talk.header)
    talk.at_node(seq=talk.length, payload=talk.header)


def test_unmarked_flows_are_not_touched(line, port):
    with Talk(line, sport=port, port=81) as talk:
        talk.syn()
        talk.to_node()
        talk.at_node(seq=0, payload=b"")
        talk.to_node(payload=b"GET /")
        talk.at_node(seq=0, payload=b"GET /")
        talk.to_client(ack=5)
        talk.at_client(ack=5)
