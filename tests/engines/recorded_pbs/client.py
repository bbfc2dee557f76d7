"""What ``qsub``, ``qstat``, ``qdel``, ``qselect`` and ``pbsnodes`` run: send the call to the server, print its answer.

A copy per command lies in the cluster's folder, run by the system's Python without its site-packages, by any account.
It imports built-in modules alone, since a benchmark starts it thousands of times.
"""
# ruff: noqa: PTH123

import posix
import sys
import time
from _socket import AF_UNIX, SOCK_STREAM, socket

SOCKET = "@SOCKET@"
SERVER = "@SERVER@"
VERSION = "@VERSION@"

#: The options of qsub that have a value; what follows the options is the script.
QSUB_VALUES = "aAcCeJjklmMNopPqrRSuvW"


def script_operand(arguments):
    """Return the operand of qsub: a file, ``-`` for the standard input, or None for ``-- program``."""
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        if argument == "--":
            return None
        if argument == "-" or argument[:1] != "-":
            return argument
        for place, letter in enumerate(argument[1:], 2):
            if letter in QSUB_VALUES:
                index += place == len(argument)
                break
        index += 1
    return "-"


def job_script(arguments):
    operand = script_operand(arguments)
    if operand is None:
        return b""
    if operand == "-":
        return sys.stdin.buffer.read()
    try:
        with open(operand, "rb") as script:
            return script.read()
    except OSError as error:
        sys.stderr.write(f"qsub: script file:: {error.strerror}\n")
        sys.exit(1)


def asked_for_json(arguments):
    return any(
        argument == "-Fjson" or (argument == "-F" and following == "json")
        for argument, following in zip(arguments, [*arguments[1:], ""])  # noqa: B905  # as short as it can be
    )


def exit_without_server(command, arguments):
    """Say what the real command says when nothing listens, and exit as it does."""
    sys.stderr.write("Connection refused\n")
    if command == "qdel":
        sys.stderr.write(f"Couldn't connect to cluster: {SERVER}\n")
    elif command == "pbsnodes":
        sys.stderr.write(f"pbsnodes: cannot connect to server {SERVER}, error=15010\n")
    else:
        sys.stderr.write(f"{command}: cannot connect to server {SERVER} (errno=15010)\n")
    if command == "qstat" and asked_for_json(arguments):
        sys.stdout.write(
            f'{{\n\t"timestamp":\t{int(time.time())},\n\t"pbs_version":\t"{VERSION}",\n\t"pbs_server":\t"{SERVER}"\n}}\n'
        )
    sys.exit({"qstat": 255, "pbsnodes": 1}.get(command, 162))


def ask(request):
    connection = socket(AF_UNIX, SOCK_STREAM)
    connection.connect(SOCKET)
    connection.sendall(b"%d\n" % len(request) + request)
    parts = []
    while part := connection.recv(1 << 20):
        parts.append(part)
    connection.close()
    return b"".join(parts)


def encoded(text):
    return text.encode("utf-8", "surrogateescape")


def main():
    command = sys.argv[0].rpartition("/")[2]
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        sys.stdout.write("pbs_version = recorded\n")
        return 0
    script = job_script(arguments) if command == "qsub" else b""
    environment = [name + b"=" + value for name, value in posix.environ.items()] if command == "qsub" else []
    fields = [command, posix.getcwd(), str(len(arguments)), *arguments, str(len(environment))]
    request = b"\0".join([*map(encoded, fields), *environment, script])
    try:
        answer = ask(request)
    except (ConnectionError, FileNotFoundError):
        answer = b""
    if not answer:
        exit_without_server(command, arguments)
    head, _, body = answer.partition(b"\n")
    code, length = map(int, head.split())
    sys.stderr.buffer.write(body[length:])
    sys.stdout.buffer.write(body[:length])
    return code


if __name__ == "__main__":
    sys.exit(main())
