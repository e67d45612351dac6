"""How our commands differ from click's: groups and second names in --help, all that is missing at once, hints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from hardedge.synonyms import COMMANDS, OPTIONS

GROUPS: Final = {
    "Start": ("run", "doctor", "scenes", "check"),
    "Train": ("train", "recipes", "models", "backbones", "sweep", "search-loss", "hard", "edges", "strip"),
    "Ship": ("export", "tune", "keep", "deploy", "certify", "dossier", "sign", "report"),
    "On the device": ("verify", "predict", "bench", "acceptance", "triton"),
    "Data": ("import", "prepare", "scribbles"),
}
# names that say what is done, beside the short ones
SECOND_NAMES: Final = {
    "edges": "train-edges",
    "hard": "find-hard",
    "keep": "cut-outputs",
    "prepare": "prepare-data",
    "scenes": "draw-scenes",
    "strip": "strip-weights",
}
_FIRST_NAMES: Final = {second: first for first, second in SECOND_NAMES.items()}


class Command(click.Command):
    """A command that names everything that is missing together, and says where another tool's option is here."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as error:
            missing = self._missing(ctx, given)
            if len(missing) < 2:
                raise
            raise click.UsageError(f"Missing {' and '.join(missing)}.", ctx) from error
        except click.NoSuchOption as error:
            field = OPTIONS.get(error.option_name)
            if field and any(parameter.name == "settings" for parameter in self.params):
                message = f"No such option '{error.option_name}'. It is a field of the recipe: --set {field}=VALUE"
                raise click.UsageError(message, ctx) from error
            raise

    def _missing(self, ctx: click.Context, args: list[str]) -> list[str]:
        given, _, _ = self.make_parser(ctx).parse_args(args=args)
        missing = [
            parameter
            for parameter in self.get_params(ctx)
            if parameter.required and parameter.value_is_missing(parameter.consume_value(ctx, given)[0])
        ]
        return [f"{parameter.param_type_name} {parameter.get_error_hint(ctx)}" for parameter in missing]


class CommandGroup(click.Group):
    """The commands by what they are for, each with its second name, if it has one."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, _FIRST_NAMES.get(cmd_name, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] == "help" and args[1:]:
            args = [args[1], "--help"]
        elif args[0] == "help":
            click.echo(ctx.get_help())
            ctx.exit()
        known = (*self.commands, *_FIRST_NAMES)
        meant = COMMANDS.get(args[0]) if args[0] not in known else None
        if meant:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{meant}'?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = {name: ", ".join((name, *_second(name))) for name in self.commands}
        width = max(map(len, shown.values()))
        for title, names in GROUPS.items():
            with formatter.section(title):
                room = formatter.width - 6 - width
                rows = [(shown[name].ljust(width), self.commands[name].get_short_help_str(room)) for name in names]
                formatter.write_dl(rows)


def _second(name: str) -> tuple[str, ...]:
    return (SECOND_NAMES[name],) if name in SECOND_NAMES else ()


def command(name: str | None = None) -> Callable[[Callable[..., Any]], Command]:
    """As click.command, of our class."""
    return click.command(name, cls=Command)
