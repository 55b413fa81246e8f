"""The peers are other packages. `make peers` installs them. In every other session, this folder is left out."""

from __future__ import annotations

from importlib.util import find_spec

PEERS = ("inspect_ai", "junitparser", "mlflow", "pandas", "polars", "pyarrow", "statsmodels")
collect_ignore_glob = [] if all(map(find_spec, PEERS)) else ["*"]
