"""Import modules in the Python that runs this file, and say how each went: one JSON line per module on stdout.

Run by the interpreter of a kernel, which has no other part of this package: standard library only.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time


def main(modules: list[str]) -> int:
    """Import ``modules`` in turn; return how many failed."""
    # What a module prints while it is imported must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    failed = 0
    for module in modules:
        start = time.perf_counter()
        try:
            importlib.import_module(module)
            error = None
        except BaseException as caught:  # a module may raise anything, and the others still count
            error = f"{type(caught).__name__}: {caught}"
            failed += 1
        answer = {"module": module, "seconds": round(time.perf_counter() - start, 3), "error": error}
        print(json.dumps(answer), file=answers)
    return failed


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 100))
