"""What the settings of a module may be, checked when it is made."""

from __future__ import annotations

import math
from typing import Any

from ..errors import SignatureError
from ..ir.choices import Categorical, DemoSet, Instructions, Integer, Real, Var
from ..ir.engines import is_engine_name
from ..ir.schemas import Schema
from .open import Open
from .worked import Nearest, check_demos


def check_settings(module: Any, schema: Schema) -> None:
    """Check what every module has beside its signature.

    Args:
        module: The module.
        schema: Its signature.

    Raises:
        SignatureError: A field has the name of something else, or a setting is not what its type says.
    """
    kind = type(module).__name__
    _check_names(module, schema)
    _check_texts(kind, module)
    most = module.max_tokens
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise SignatureError(f"{kind}: `max_tokens >= 1` must hold, but got {most!r}; give a whole number of tokens")
    _check_temperature(kind, module.temperature)
    _check_engine(kind, module.engine)
    if not _is_choice(module.demos, DemoSet) and not isinstance(module.demos, Nearest):
        check_demos(f"{kind}({schema.name})", module, schema)


def is_number(value: Any) -> bool:
    """True for a number that is no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_choice(value: Any, *domains: type) -> bool:
    return isinstance(value, (Open, Var)) and isinstance(value.domain, domains)


def _check_names(module: Any, schema: Schema) -> None:
    for f in schema.inputs + schema.outputs:
        if f.name in module.adds or (f.name == "self" and f in schema.inputs):
            by = "the module adds that field to its record" if f.name in module.adds else "Python's methods use it"
            raise SignatureError(
                f"{type(module).__name__}({schema.name}): a field cannot be named {f.name!r}, since {by}; "
                "rename the field"
            )


def _check_texts(kind: str, module: Any) -> None:
    name, template, text = module.name, module.template, module.instruction
    if not isinstance(name, str):
        raise SignatureError(f"{kind}: name: a text is needed, but got {name!r:.100}; such as name='solve'")
    if template is not None and not isinstance(template, str):
        raise SignatureError(
            f"{kind}: template: the text of jinja2 blocks is needed, but got {template!r:.100}; "
            "such as '{% block user %}...{% endblock %}'"
        )
    if text is not None and not isinstance(text, str) and not _is_choice(text, Categorical, Instructions):
        raise SignatureError(
            f"{kind}: instruction: a text or a choice of texts is needed, but got {text!r:.100}; "
            "write instruction='...' or fw.instruction('...', '...')"
        )


def _check_engine(kind: str, engine: Any) -> None:
    names = engine.domain.labels if _is_choice(engine, Categorical) else () if engine is None else (engine,)
    if not all(map(is_engine_name, names)):
        raise SignatureError(
            f"{kind}: engine: a name of letters, digits, _ and - is needed, or a choice of names, but got "
            f'{engine!r:.100}; write engine="judge", and engines={{"judge": ...}} where the program is compiled'
        )


def _check_temperature(kind: str, value: Any) -> None:
    if isinstance(value, (Open, Var)):
        domain = value.domain
        low, high = (domain.low, domain.high) if isinstance(domain, (Integer, Real)) else (0, math.inf)
    else:
        low = high = 0 if value is None else value
    if not (is_number(low) and is_number(high) and low >= 0 and high <= 10):
        raise SignatureError(
            f"{kind}: `0 <= temperature <= 10` must hold, but got {value!r}; give a number, fw.real(0, 1), or None"
        )
