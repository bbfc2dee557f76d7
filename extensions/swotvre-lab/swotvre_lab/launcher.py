"""Start one session: ``python -m swotvre_lab.launcher`` reads its order from standard input.

The slow way, taken when no fork server is at hand: imports happen in the session's own process.
"""

from __future__ import annotations

import sys

from swotvre_lab.order import LARGEST_ORDER_BYTES, OrderError, SessionOrder
from swotvre_lab.supervisor import supervise


def import_and_serve() -> None:
    """Import the server and run it until it is told to stop."""
    from swotvre_lab.trimmed_imports import import_server

    import_server()
    from swotvre_lab.server import serve

    serve()


def main() -> int:
    """Run the session that standard input describes; return 0, or 2 when it describes none."""
    try:
        order = SessionOrder.from_json(sys.stdin.buffer.read(LARGEST_ORDER_BYTES))
    except OrderError as error:
        print(f"no session started: {error}", file=sys.stderr)  # noqa: T201
        return 2
    status = supervise(order, import_and_serve)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    raise SystemExit(main())
