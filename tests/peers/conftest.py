"""The peers are compared by `make peers`, which installs them. In every other session, this folder is left out."""

from __future__ import annotations

from importlib.util import find_spec

PEERS = ("inspect_ai", "statsmodels")
collect_ignore_glob = [] if all(map(find_spec, PEERS)) else ["*"]
