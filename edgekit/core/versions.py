"""Which versions of edgekit and its libraries made something."""

from __future__ import annotations

from importlib import metadata


def of(*distributions: str) -> dict[str, str]:
    """The installed versions of edgekit and of these distributions; those that are not installed are left out."""
    found = {}
    for name in ("edgekit", *distributions):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
