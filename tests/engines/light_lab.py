"""A session environment without JupyterLab: its sessions start in a tenth of a second, and do what the hub looks at.

For tests of many starts and ends. The script of the job, its environment, the report of the port and the files of the
session are the real ones; only the server behind the port is this one.
"""

from __future__ import annotations

import stat
from pathlib import Path

PYTHON = """#!/usr/bin/python3 -ISE
import os, sys
if "swotvre_lab.batch" in sys.argv:
    os.execv("/usr/bin/python3", ["python3", "-ISE", {session!r}])
os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""

SESSION = """
import http.server, json, os, random, signal, socketserver, threading, urllib.parse, urllib.request

class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"version": "6.1.1"}).encode()
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

first, _, last = os.environ["SWOTVRE_PORTS"].partition("-")
ports = list(range(int(first), int(last) + 1))
random.shuffle(ports)
for port in ports:
    try:
        server = Server(("", port), Answers)
        break
    except OSError:
        continue
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
threading.Thread(target=server.serve_forever, daemon=True).start()
import time
for _ in range(600):
    request = urllib.request.Request(
        os.environ["JUPYTERHUB_API_URL"] + "/batchspawner",
        json.dumps({"port": port}).encode(),
        {"Authorization": "token " + os.environ["JUPYTERHUB_API_TOKEN"]},
        method="POST",
    )
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60).read()
        break
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404):
            os._exit(71)
    except OSError:
        pass
    time.sleep(0.2)
signal.pause()
"""


def make_light_lab(folder: Path, lab: Path) -> Path:
    """Make the environment in ``folder``, which every account must be able to enter; return it.

    Args:
        folder: does not exist yet.
        lab: the real environment, whose programs do everything but the server.
    """
    (folder / "bin").mkdir(parents=True)
    session = folder / "session.py"
    session.write_text("import urllib.error\n" + SESSION, encoding="utf-8")
    python = folder / "bin" / "python"
    text = PYTHON.format(session=str(session), python=str(lab / "bin" / "python"))
    python.write_text(text, encoding="utf-8")
    for path in (folder, folder / "bin"):
        path.chmod(0o755)
    session.chmod(0o644)
    python.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    return folder
