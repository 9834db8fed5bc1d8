"""The network tests' tools: namespaces, a network around the edge, edged in it, clients and readers."""
from . import client, readers  # noqa: F401
from .capture import Capture  # noqa: F401
from .client import DROPPED, OPEN, PROHIBITED, REFUSED, attempt, connect, datagram, fetch, greeting, ping  # noqa: F401
from .config import FAST_HEALTH, config, forward, rule  # noqa: F401
from .edged import ApiError, Edged  # noqa: F401
from .flood import device_mac, flood, leak_counter  # noqa: F401
from .namespace import Namespace, ip, sweep  # noqa: F401
from .network import (CLIENT, CLIENT6, CLIENT6_OTHER, EDGE_LAN, EDGE_LAN6, EDGE_WAN, EDGE_WAN6, FAR_NODE,  # noqa: F401
                      FLOATING, NODES, OPERATOR, SCANNER, SCANNER6, Network)
from .wait import Timeout, stays, until  # noqa: F401
from .wireguard import FAR_NODE_KEY, WireguardPeer, join_tunnel, wg_show  # noqa: F401
