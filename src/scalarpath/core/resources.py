"""Where files live: configuration and bundled data in the checkout or an installed wheel, and the cache of the user."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = (_PACKAGE / "conf").is_dir()

CONF_DIR: Path = _PACKAGE / "conf" if _INSTALLED else _PACKAGE.parents[1] / "conf"
BUNDLED_DIR: Path = _PACKAGE / "bundled" if _INSTALLED else _PACKAGE.parents[1] / "data"


def cache_root() -> Path:
    """Folder of whatever can be made or fetched again: $SCALARPATH_CACHE, else ~/.cache/scalarpath.

    It holds cached graphs, downloads and compiled kernels, each kind in a folder of its own.
    """
    return Path(os.environ.get("SCALARPATH_CACHE") or "~/.cache/scalarpath").expanduser()
