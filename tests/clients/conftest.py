"""The clients are other packages. `make clients` installs them. In every other session, this folder is left out."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("PROCTOR_CLIENTS") else ["*"]
