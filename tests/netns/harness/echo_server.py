"""The echo servers of a node, see node.py. Run as a program: echo_server.py NODE."""
import asyncio
import socket
import sys

NODE = sys.argv[1] if len(sys.argv) > 1 else "node"


async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def echo(reader, writer):
    try:
        await copy(reader, writer)
    except OSError:
        pass
    finally:
        writer.close()


async def greet_and_echo(reader, writer):
    """As an SSH server does, the server speaks first. nginx hands the client's address on as PROXY v1."""
    try:
        words = (await reader.readline()).decode("ascii", "replace").split()
        client = f"{words[2]} {words[4]}" if len(words) == 6 else " ".join(words)
        writer.write(f"SSH-2.0-lab {NODE} {client}\r\n".encode())
        await copy(reader, writer)
    except OSError:
        pass
    finally:
        writer.close()


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        self.transport.sendto(f"{NODE} {peer[0]} {peer[1]} ".encode() + data, peer)


def both_families(kind):
    sock = socket.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return sock


async def main():
    tcp = both_families(socket.SOCK_STREAM)
    tcp.bind(("::", 30099))
    udp4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp4.bind(("0.0.0.0", 30053))
    udp6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    udp6.bind(("::", 30053))
    loop = asyncio.get_running_loop()
    for sock in (udp4, udp6):
        await loop.create_datagram_endpoint(Datagrams, sock=sock)
    greeter = await asyncio.start_server(greet_and_echo, "127.0.0.1", 3022, backlog=1024)
    raw = await asyncio.start_server(echo, sock=tcp, backlog=4096)
    await asyncio.gather(greeter.serve_forever(), raw.serve_forever())


asyncio.run(main())
