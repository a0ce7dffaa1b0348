"""Clients for servers whose own are large: `talk PORT TEXT`, `dns PORT NAME`, `fastcgi SOCKET SCRIPT`."""

import socket
import struct
import sys

LIMIT = 5.0


def talk(port, text):
    """Says something to a TCP server, and prints what it answers until it closes or falls silent."""
    with socket.create_connection(("127.0.0.1", int(port)), timeout=LIMIT) as stream:
        stream.sendall(text.encode().decode("unicode_escape").encode())
        stream.settimeout(0.5 if not text else LIMIT)
        try:
            while some := stream.recv(65536):
                sys.stdout.buffer.write(some)
        except TimeoutError:
            pass


def question(name):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", 0x5253, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def addresses(reply):
    """The addresses of the A records. Every answer's name is a pointer or the question's again."""
    count = struct.unpack_from(">H", reply, 6)[0]
    at = 12
    at = skipped(reply, at) + 4
    for _ in range(count):
        at = skipped(reply, at)
        kind, _, _, length = struct.unpack_from(">HHIH", reply, at)
        if kind == 1:
            yield socket.inet_ntoa(reply[at + 10 : at + 14])
        at += 10 + length


def skipped(reply, at):
    while reply[at]:
        if reply[at] >= 0xC0:
            return at + 2
        at += reply[at] + 1
    return at + 1


def dns(port, name):
    """Asks by UDP and by TCP."""
    asked = question(name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flat:
        flat.settimeout(LIMIT)
        flat.sendto(asked, ("127.0.0.1", int(port)))
        print("udp", *addresses(flat.recv(4096)))
    with socket.create_connection(("127.0.0.1", int(port)), timeout=LIMIT) as stream:
        stream.sendall(struct.pack(">H", len(asked)) + asked)
        length = struct.unpack(">H", exactly(stream, 2))[0]
        print("tcp", *addresses(exactly(stream, length)))


def exactly(stream, length):
    got = b""
    while len(got) < length:
        some = stream.recv(length - len(got))
        if not some:
            raise SystemExit("the server has closed")
        got += some
    return got


def fastcgi(path, script):
    """Asks a FastCGI server for a script (FastCGI 1.0), and prints what it gives."""
    values = {"SCRIPT_FILENAME": script, "REQUEST_METHOD": "GET", "REQUEST_URI": script, "SCRIPT_NAME": script}
    pairs = b"".join(bytes([len(k), len(v)]) + k.encode() + v.encode() for k, v in values.items())

    def record(kind, body):
        return struct.pack(">BBHHBB", 1, kind, 1, len(body), 0, 0) + body

    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(LIMIT)
        stream.connect(path)
        stream.sendall(record(1, struct.pack(">HB5x", 1, 0)) + record(4, pairs) + record(4, b"") + record(5, b""))
        while True:
            _, kind, _, length, padding, _ = struct.unpack(">BBHHBB", exactly(stream, 8))
            body = exactly(stream, length + padding)[:length]
            if kind == 6:
                sys.stdout.buffer.write(body)
            if kind == 3:
                return


try:
    {"talk": talk, "dns": dns, "fastcgi": fastcgi}[sys.argv[1]](*sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
