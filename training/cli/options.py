"""Make the options of a command from the fields of a dataclass: names, types, defaults and help texts."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from training.trainer.config import OPTIONS, Option, TrainConfig

AUTO = "auto"
KINDS = {int: "a whole number", float: "a number", str: "a name"}


def with_options(command: Callable[[TrainConfig], None]) -> Callable[..., None]:
    """Return a command of Typer that takes the fields of `TrainConfig` as options, and calls `command` with it."""

    def called(**values: Any) -> None:
        command(TrainConfig(**values))

    parameters = [_parameter(field, OPTIONS[field.name]) for field in dataclasses.fields(TrainConfig)]
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def _parameter(field: "dataclasses.Field[Any]", option: Option) -> inspect.Parameter:
    """Return a field as a parameter of a command."""
    flag = f"--{field.name.replace('_', '-')}"
    more: dict[str, Any] = {"help": option.help, "rich_help_panel": option.group}
    kind: Any = field.type
    if option.auto is not None:
        kind = option.auto | None
        more |= {
            "parser": _parser(option),
            "metavar": f"{AUTO}|{option.auto.__name__}",
            "show_default": _shown_auto(option),
        }
    elif option.shown:
        more["show_default"] = option.shown
    if option.variable:
        more["envvar"] = option.variable
    default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, typer.Option(flag, **more)],
    )


def _shown_auto(option: Option) -> str:
    """Return the default in words: `auto`, and what that is for a published data set where it is one value."""
    return AUTO if option.published is None else f"{AUTO}; {option.published} for published data"


def _parser(option: Option) -> Callable[[str], Any]:
    """Return a function that reads a value which may be `auto`, and then is None."""
    kind = option.auto or str

    def parse(text: str) -> Any:
        if option.choices and text not in (AUTO, *option.choices):
            raise typer.BadParameter(f"{text!r} is neither {AUTO} nor one of {', '.join(option.choices)}")
        try:
            return None if text == AUTO else kind(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is neither {AUTO} nor {KINDS[kind]}") from None

    return parse
