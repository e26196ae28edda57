"""The command line: ``yipan``."""

import warnings

# The embedded PostgreSQL's wheel looks for a runtime folder that it does not use.
warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")

from hub_api.cli.app import main  # noqa: E402 - after the filter, which is for its imports

__all__ = ["main"]
