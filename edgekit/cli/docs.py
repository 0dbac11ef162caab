"""Print docs/cli.md, made from the commands themselves: `python -m edgekit.cli.docs`."""

from __future__ import annotations

import click

from edgekit.cli.main import cli


def commands() -> list[tuple[str, click.Command]]:
    """All commands, and the groups that they are in, by the words that call them; in order."""
    found: list[tuple[str, click.Command]] = []
    for name, command in sorted(cli.commands.items()):
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", below) for inner, below in sorted(command.commands.items())]
    return found


def document() -> str:
    """The whole of docs/cli.md."""
    parts = ["# The command line", "", "<!-- Made by `make docs` from the commands themselves. Do not edit. -->", ""]
    named = [("edgekit", cli), *((f"edgekit {name}", command) for name, command in commands())]
    for name, command in named:
        context = click.Context(
            command, info_name=name, terminal_width=110, max_content_width=110, help_option_names=["-h", "--help"]
        )
        parts += [f"## {name}", "", "```", command.get_help(context), "```", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    click.echo(document(), nl=False)
