"""`edgekit doctor`."""

from __future__ import annotations

import click

from edgekit.cli import common


@click.command()
@common.json_option
def doctor(as_json: bool) -> None:
    """Say what is installed, which GPU there is, and what each extra would add."""
    from edgekit.core.doctor import examine

    found = examine()
    if as_json:
        common.print_json(found)
        return
    common.print_table(
        ("package", "version", "for"),
        [(name, version or "not installed", purpose) for name, version, purpose in found.packages],
    )
    click.echo(f"Python {found.python}, {found.machine}, {found.cores} cores")
    click.echo(f"GPU: {', '.join(found.gpus) or 'none reported by an NVIDIA driver'}")
    for extra, (complete, adds) in found.extras.items():
        if not complete:
            click.echo(f"pip install 'edgekit[{extra}]' would add: {adds}")
