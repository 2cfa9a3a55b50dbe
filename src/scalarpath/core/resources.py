"""Where the configuration and the bundled data live: in the checkout, or inside an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = (_PACKAGE / "conf").is_dir()

CONF_DIR: Path = _PACKAGE / "conf" if _INSTALLED else _PACKAGE.parents[1] / "conf"
BUNDLED_DIR: Path = _PACKAGE / "bundled" if _INSTALLED else _PACKAGE.parents[1] / "data"
