"""How `client` and the server speak: a length, the call's fields, and an answer of exit code, stdout and stderr."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Call:
    """One command as an account typed it."""

    command: str
    folder: str
    arguments: list[str]
    environment: dict[str, str]
    script: bytes
    uid: int = -1


@dataclass(frozen=True)
class Answer:
    """What the command prints, and how it exits."""

    code: int = 0
    stdout: str = ""
    stderr: str = ""
    #: Instead of ``stdout``, when it cannot be written as text.
    raw: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        """Return the answer as `client` reads it."""
        stdout = self.raw or self.stdout.encode("utf-8", "surrogateescape")
        return b"%d %d\n%s%s" % (self.code, len(stdout), stdout, self.stderr.encode("utf-8", "surrogateescape"))


def decode_call(request: bytes, uid: int) -> Call:
    """Return the call that `client` sent."""
    command, folder, count, rest = request.split(b"\0", 3)
    *arguments, rest = rest.split(b"\0", int(count))
    count, _, rest = rest.partition(b"\0")
    environment, script = _environment(int(count), rest)
    return Call(_text(command), _text(folder), [_text(argument) for argument in arguments], environment, script, uid)


def encode_call(call: Call) -> bytes:
    """Return the request that `client` would send."""
    variables = [f"{name}={value}" for name, value in call.environment.items()]
    fields = [call.command, call.folder, str(len(call.arguments)), *call.arguments, str(len(variables)), *variables]
    body = b"\0".join([*(text.encode("utf-8", "surrogateescape") for text in fields), call.script])
    return b"%d\n%s" % (len(body), body)


def caller(connection: socket.socket) -> int:
    """Return the uid of who connected, as the kernel knows it."""
    return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])


def ask(address: Path, call: Call, timeout: float = 60) -> tuple[int, bytes, bytes]:
    """Ask the server itself, without a process; return exit code, stdout and stderr."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(address))
        connection.sendall(encode_call(call))
        answer = bytearray()
        while part := connection.recv(1 << 20):
            answer += part
    if not answer:
        raise ConnectionError(f"the stand-in for PBS ended while it was asked for {call.command}")
    head, _, body = bytes(answer).partition(b"\n")
    code, length = map(int, head.split())
    return code, body[:length], body[length:]


def _environment(count: int, rest: bytes) -> tuple[dict[str, str], bytes]:
    *variables, script = rest.split(b"\0", count)
    pairs = (_text(variable).partition("=") for variable in variables)
    return {name: value for name, _, value in pairs}, script


def _text(field: bytes) -> str:
    return field.decode("utf-8", "surrogateescape")
