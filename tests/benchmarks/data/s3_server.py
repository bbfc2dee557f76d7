"""A read-only S3 server over a folder whose every answer takes 20 ms: ``python s3_server.py FOLDER``.

It speaks what readers of objects ask: ListObjectsV2, HEAD and GET with ranges and If-Match. Signatures are not checked.
The first line of its output is its port; it ends with its input. ``GET /_requests`` tells how many requests it had.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

LATENCY_SECONDS = 0.020
_ERROR = '<?xml version="1.0"?><Error><Code>{0}</Code><Message>{0}</Message></Error>'
_WORDS = {200: "OK", 206: "Partial Content", 403: "Forbidden", 404: "Not Found", 412: "Precondition Failed",
          416: "Range Not Satisfiable", 501: "Not Implemented"}  # fmt: skip

Part = tuple[Path, int, int]


class Answer:
    """Status, headers and the body: bytes, or a part of a file."""

    def __init__(self, status: int, body: bytes = b"", part: Part | None = None, **headers: str) -> None:
        self.status = status
        self.body = body
        self.part = part
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def head(self) -> bytes:
        """Return the head of the answer."""
        length = self.part[2] if self.part else len(self.body)
        headers = {"Content-Length": str(length), "Content-Type": "application/xml", "Accept-Ranges": "bytes"}
        lines = [f"{name}: {value}" for name, value in (headers | self.headers).items()]
        return "\r\n".join((f"HTTP/1.1 {self.status} {_WORDS[self.status]}", *lines, "", "")).encode()


def _error(status: int, code: str) -> Answer:
    return Answer(status, _ERROR.format(code).encode())


def _etag(status: os.stat_result) -> str:
    return f'"{status.st_size:x}{status.st_mtime_ns:024x}"'


class Bucket:
    """The folder as the only bucket, whatever its name."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._objects: list[tuple[str, os.stat_result]] = []

    def answer(self, method: str, target: str, headers: dict[str, str]) -> Answer:
        """Return the answer to a request."""
        address = urlsplit(target)
        _, _, key = unquote(address.path).lstrip("/").partition("/")
        if method not in ("GET", "HEAD"):
            return _error(501, "NotImplemented")
        if not key:
            query = {name: values[0] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
            return self._list(query) if method == "GET" else Answer(200)
        return self._object(key, headers)

    def _object(self, key: str, headers: dict[str, str]) -> Answer:
        path = self._root / key
        if not path.is_file():
            return _error(404, "NoSuchKey")
        status = path.stat()
        facts = {
            "ETag": _etag(status),
            "Last_Modified": formatdate(status.st_mtime, usegmt=True),
            "Content_Type": "application/octet-stream",
        }
        if headers.get("if-match", facts["ETag"]).strip('"') != facts["ETag"].strip('"'):
            return _error(412, "PreconditionFailed")
        span = headers.get("range")
        if span is None:
            return Answer(200, part=(path, 0, status.st_size), **facts)
        first, _, last = span.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(status.st_size - int(last), 0)
        stop = min(int(last) + 1, status.st_size) if first and last else status.st_size
        if start >= stop:
            return _error(416, "InvalidRange")
        facts["Content_Range"] = f"bytes {start}-{stop - 1}/{status.st_size}"
        return Answer(206, part=(path, start, stop - start), **facts)

    def _list(self, query: dict[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        limit = min(int(query.get("max-keys", "1000")), 1000)
        after = query.get("continuation-token") or query.get("start-after", "")
        rows: list[str] = []
        folders: set[str] = set()
        token = ""
        for key, status in self._all_objects():
            if not key.startswith(prefix) or key <= after:
                continue
            folder, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found and f"{prefix}{folder}{delimiter}" in folders:
                continue
            if len(rows) + len(folders) == limit:
                break
            if found:
                folders.add(f"{prefix}{folder}{delimiter}")
                token = f"{prefix}{folder}{delimiter}\U0010ffff"
            else:
                rows.append(_list_row(key, status))
                token = key
        else:
            token = ""
        common = "".join(map(_folder_row, sorted(folders)))
        more = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>bucket</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(rows) + len(folders)}</KeyCount>"
            f"<MaxKeys>{limit}</MaxKeys><IsTruncated>{'true' if token else 'false'}</IsTruncated>{more}"
            f"{''.join(rows)}{common}</ListBucketResult>"
        )
        return Answer(200, body.encode())

    def _all_objects(self) -> list[tuple[str, os.stat_result]]:
        if not self._objects:
            found = (path for path in self._root.rglob("*") if path.is_file())
            self._objects = sorted((path.relative_to(self._root).as_posix(), path.stat()) for path in found)
        return self._objects


def _list_row(key: str, status: os.stat_result) -> str:
    changed = datetime.fromtimestamp(status.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{changed}</LastModified><ETag>{escape(_etag(status))}</ETag>"
        f"<Size>{status.st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _folder_row(prefix: str) -> str:
    return f"<CommonPrefixes><Prefix>{escape(prefix)}</Prefix></CommonPrefixes>"


class Server:
    """Answers requests, each after the latency."""

    def __init__(self, bucket: Bucket, latency_seconds: float) -> None:
        self._bucket = bucket
        self._latency_seconds = latency_seconds
        self._requests = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection until it is closed."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ", 2)
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                await reader.readexactly(int(headers.get("content-length") or 0))
                if target == "/_requests":
                    answer = Answer(200, str(self._requests).encode())
                else:
                    self._requests += 1
                    answer = self._bucket.answer(method, target, headers)
                    await asyncio.sleep(self._latency_seconds)
                await self._send(writer, answer, body=method != "HEAD")
        writer.close()

    async def _send(self, writer: asyncio.StreamWriter, answer: Answer, *, body: bool) -> None:
        writer.write(answer.head())
        if body and answer.part:
            path, start, count = answer.part
            with path.open("rb") as file:
                await asyncio.get_running_loop().sendfile(writer.transport, file, start, count)
        elif body:
            writer.write(answer.body)
        await writer.drain()


async def serve(root: Path, latency_seconds: float) -> None:
    """Serve until the standard input ends."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, lambda: os.read(sys.stdin.fileno(), 1) or ended.set())
    server = await asyncio.start_server(Server(Bucket(root), latency_seconds).talk, "127.0.0.1", 0)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await ended.wait()


def main() -> None:
    """Serve a folder."""
    parser = argparse.ArgumentParser(description="Serve a folder as an S3 bucket, slowly, for a benchmark.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency-ms", type=float, default=LATENCY_SECONDS * 1000)
    args = parser.parse_args()
    asyncio.run(serve(args.folder, args.latency_ms / 1000))


if __name__ == "__main__":
    main()
