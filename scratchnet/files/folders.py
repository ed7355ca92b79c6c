"""The folder for files that can be made, or downloaded, again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """$SCRATCHNET_CACHE, or the platform's folder for caches."""
    chosen = os.environ.get("SCRATCHNET_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("scratchnet"))
