"""Print docs/cli.md, made from the commands themselves: `python -m edgekit.cli.docs`."""

from __future__ import annotations

import click

from edgekit.cli.main import cli


def document() -> str:
    """The whole of docs/cli.md."""
    parts = ["# The command line", "", "<!-- Made by `make docs` from the commands themselves. Do not edit. -->", ""]
    commands: list[tuple[str, click.Command]] = [("edgekit", cli)]
    commands += [(f"edgekit {name}", command) for name, command in sorted(cli.commands.items())]
    for name, command in commands:
        context = click.Context(
            command, info_name=name, terminal_width=110, max_content_width=110, help_option_names=["-h", "--help"]
        )
        parts += [f"## {name}", "", "```", command.get_help(context), "```", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    click.echo(document(), nl=False)
