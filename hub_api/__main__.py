"""``python -m hub_api``: the same as ``yipan``."""

from hub_api.cli import main

if __name__ == "__main__":
    main()
