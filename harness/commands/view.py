"""`proctor view`: serves the page over a folder of runs to a browser on this machine, while the runs go on."""

from __future__ import annotations

import argparse
import secrets
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.errors import BadInput
from harness.lazy import LazyModule
from harness.page.library_files import LibrariesMissing
from harness.results.run_folder import is_run

if TYPE_CHECKING:
    from harness import http_host
    from harness.viewer import app, source
else:  # `proctor view --help` needs neither a web server nor SciPy
    app = LazyModule("harness.viewer.app")
    http_host = LazyModule("harness.http_host")
    source = LazyModule("harness.viewer.source")

_HOST = "127.0.0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor view`."""
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="default: a port that is free")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")


def run(given: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C or SIGTERM. Raise `BadInput`."""
    runs: Path = given.runs_dir
    if is_run(runs):
        raise BadInput(f"{runs} is one run: name the folder that it is in, and choose the run on the page")
    if not runs.is_dir():
        raise BadInput(f"there is no folder {runs}: run some cases first, or name another folder with --runs-dir")
    before = {one: signal.signal(one, signal.default_int_handler) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        _serve(runs, given.port)
    except KeyboardInterrupt:
        print()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    return 0


def _serve(runs: Path, port: int) -> None:
    """Serve the page until a signal raises `KeyboardInterrupt`. Raise `BadInput`."""
    token = secrets.token_urlsafe(24)
    try:
        made = app.make_app(source.RunsSource(runs), token)
        listener = socket.create_server((_HOST, port))
    except LibrariesMissing as error:
        raise BadInput(str(error)) from error
    except OSError as error:
        raise BadInput(f"cannot listen on port {port}: {error.strerror}; choose another --port") from error
    with listener, http_host.HttpHost() as host:
        host.serve(made, listener)
        port = listener.getsockname()[1]
        print(f"http://{_HOST}:{port}/{token}/")
        print(f"From another machine: ssh -L {port}:{_HOST}:{port} {socket.gethostname()}, then open the same address.")
        print("Whoever knows the address can read the runs. Ctrl-C ends it.", flush=True)
        while True:
            signal.pause()


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number up to 65535")
    return int(text)
