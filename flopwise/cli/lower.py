"""`flopwise lower`: the choices of a program, and the graph and plan of one config."""

from __future__ import annotations

from argparse import Namespace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from .words import Commands, add_command, add_engines, add_program, engine_specs, made_engines

if TYPE_CHECKING:
    from ..ir.choices import ChoiceValue, Var


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "lower", run, "show a program's choices, and the graph and plan of one config")
    add_program(parser)
    add_engines(parser, False, "what the plan is for; without one there is no plan")
    parser.add_argument(
        "--set",
        metavar="CHOICE=VALUE",
        action="append",
        default=[],
        help="decide a choice; the others are at their defaults",
    )
    parser.add_argument("--explain", action="store_true", help="show every stage from the traced program on")


def run(args: Namespace) -> int:
    """Print the choices, then what the config makes of the program."""
    from ..compiler.passes.specialise import open_values
    from ..compiler.stages import complete, optimise
    from ..modules.program import trace
    from .programs import load_program

    program = load_program(args.program)
    graph = trace(program)
    choices = {v.name: v for v in open_values(graph)}
    config = complete(graph, dict(_assigned(text, choices) for text in args.set))
    print("\n".join(["Choices:", *(_line(v, config) for v in choices.values())]))
    if not args.engine:
        stages = optimise(graph, config)
        print(f"\n{stages.as_text() if args.explain else stages.result.as_text()}")
        return 0
    from ..api import lower

    with made_engines(engine_specs(args.engine)) as engines:
        pipeline = lower(program, engine=engines.main, engines=engines.named, config=config)
        print(f"\n{pipeline.explain() if args.explain else pipeline.as_text()}")
    return 0


def _assigned(text: str, choices: dict[str, Var]) -> tuple[str, ChoiceValue]:
    """A choice and its value out of `name=value`."""
    from ..errors import ConfigError
    from ..ir.choices import Integer, Real

    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!r}: CHOICE=VALUE is needed, such as {next(iter(choices), 'n')}=...")
    if name not in choices:
        near = get_close_matches(name, choices, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(choices) or 'none'}"
        raise ConfigError(f"--set {text!r}: the program has no choice {name!r}; {hint}")
    domain = choices[name].domain
    read: dict[type, Any] = {Integer: int, Real: float}
    try:
        return name, domain.check(name, read.get(type(domain), str)(value))
    except ValueError as error:
        raise ConfigError(f"--set {text!r}: {name!r} is a number, but got {value!r}") from error


def _line(var: Var, config: dict[str, ChoiceValue]) -> str:
    from ..optimizers.space import domain_text

    value = config.get(var.name, "not asked here")
    return f"  {var.name} = {value if value != () else 'no demos'}    ({domain_text(var.domain)})"
