"""Prompts from jinja2 blocks. Values that exist only at run time are slots: the template never sees their text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..errors import SignatureError
from ..ir.builder import Builder
from ..ir.index import Index, Item, key_text
from ..ir.prompt import Message, Prompt, Ref, Segment, Slot, Text
from ..ir.schemas import Field, Schema, type_name
from ..ir.types import render_value
from .worked import Demo, Nearest

DEFAULT = """\
{% block system %}{{ instruction }}{% endblock %}
{% block user %}{% if technique %}{{ technique }}

{% endif %}{% for f in inputs %}{{ f.label }}: {{ f.value }}{% if not loop.last %}
{% endif %}{% endfor %}{% endblock %}
{% block assistant %}{{ answer }}{% endblock %}
{% block prefill %}{% endblock %}
"""
BLOCKS = ("system", "user", "assistant", "prefill")
# Its letters change with upper, lower, title and the like, so that such a change is noticed.
_MARK = re.compile("\ue000SloT([0-9]+)\ue001")


class _Unknown:
    """An input's value in a template: it can be put somewhere; what it says is only known at run time."""

    def __init__(self, name: str, index: int) -> None:
        self._name = name
        self.mark = f"\ue000SloT{index}\ue001"

    def _refuse(self, *_: object) -> Any:
        raise SignatureError(
            f"a template can only place {self._name!r}: its value is not known until the pipeline runs, so there is "
            "no filter, test or condition on it; change it with fw.op before the module"
        )

    __str__ = __html__ = __len__ = __iter__ = __bool__ = __eq__ = __ne__ = __lt__ = __gt__ = __contains__ = _refuse
    __le__ = __ge__ = __add__ = __radd__ = __mul__ = __mod__ = __getitem__ = __int__ = __float__ = __format__ = _refuse
    __hash__ = object.__hash__


def _placed(value: Any) -> Any:
    """What the template writes for a value: for an input's, the mark of its slot."""
    return value.mark if isinstance(value, _Unknown) else value


@lru_cache(maxsize=256)
def _compile(source: str) -> Any:
    from jinja2 import StrictUndefined, TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, finalize=_placed)
    try:
        template = environment.from_string(source)
    except TemplateSyntaxError as error:
        raise SignatureError(f"template, line {error.lineno}: {error.message}; it is {source[:200]!r}") from None
    unknown = set(template.blocks) - set(BLOCKS)
    if unknown or not template.blocks:
        raise SignatureError(
            f"a template is made of the blocks {', '.join(BLOCKS)}, such as "
            "{% block user %}...{% endblock %}; " + f"unknown or none: {sorted(unknown)}"
        )
    return template


class Writer:
    """Writes one module's prompts from its template: `own` overrides the module's blocks, those the default's."""

    def __init__(self, schema: Schema, module_template: str = "", own: str | None = None) -> None:
        self.schema = schema
        sources = [s for s in (own, module_template, DEFAULT) if s]
        self.templates = [_compile(s) for s in sources]

    def prompt(
        self, b: Builder, inputs: Mapping[str, Ref], demos: tuple[Demo, ...] | Nearest = (), **context: Any
    ) -> Prompt:
        """The prompt of a module: preamble, worked examples as turns, then the input with its slots.

        Args:
            b: Where a node is added for worked examples that are retrieved.
            inputs: The value of each input field, by name.
            demos: Worked examples; each becomes a user and an assistant turn. Of retrieved ones the turns are slots.
            context: What the blocks may use: `technique`, `extra` fields and the like.
        """
        slots: list[Ref] = []
        base = {"instruction": self.schema.instruction, "outputs": self._outputs(), "technique": "", **context}
        system = self._block("system", base, slots)
        messages = [Message("system", system, "task")] if system else []
        if isinstance(demos, Nearest):
            # What a module shows beside its signature's inputs is no part of the examples' keys.
            query = tuple(inputs[f.name] for f in self.schema.inputs)
            messages += self._nearest(b, demos, query, base)
        else:
            messages += [turn for demo in demos for turn in self._demo(demo, base)]
        here = {**base, "inputs": self._slots(inputs, slots)}
        messages.append(Message("user", self._block("user", here, slots), "input"))
        return Prompt(tuple(messages), self._block("prefill", here, slots))

    def text(self, template: str, inputs: Mapping[str, Ref], **context: Any) -> tuple[Segment, ...]:
        """A single text with slots, from a jinja2 template without blocks."""
        slots: list[Ref] = []
        fields = self._slots(inputs, slots)
        values = {f["name"]: f["value"] for f in fields}
        compiled = _compile("{% block user %}" + template + "{% endblock %}")
        context = {"instruction": self.schema.instruction, "outputs": self._outputs(), "inputs": fields, **context}
        return _segments(_render(compiled, "user", {**values, **context}), slots)

    def _demo(self, demo: Demo, base: dict[str, Any]) -> list[Message]:
        given = [_field(f, render_value(demo.fields.get(f.name))) for f in self.schema.inputs]
        context = {**base, "inputs": given, "technique": "", "demo": demo.fields}
        context["answer"] = answer_text(self.schema, demo.fields)
        user, assistant = (self._block(b, context, []) for b in ("user", "assistant"))
        return [Message("user", user, "demos", demo.id), Message("assistant", assistant, "demos", demo.id)]

    def _nearest(self, b: Builder, demos: Nearest, query: tuple[Ref, ...], base: dict[str, Any]) -> list[Message]:
        """Turns whose texts are retrieved for each query. They belong to the input: nothing after them is shared."""
        pool = demos.among
        items = tuple(self._item(d, v, base) for d, v in zip(pool.demos, pool.vectors, strict=True))
        index = Index(pool.embedder, pool.fingerprint, pool.flops, ("user", "assistant"), items, pool.weights)
        found = b.retrieve("demos", query, index, demos.k)
        return [
            Message(role, (Slot(found.at(i, role)),), "input", f"nearest-{demos.k - i}")
            for i in range(demos.k)
            for role in ("user", "assistant")
        ]

    def _item(self, demo: Demo, vector: tuple[float, ...], base: dict[str, Any]) -> Item:
        turns = ("".join(s.text for s in m.segments if isinstance(s, Text)) for m in self._demo(demo, base))
        key = key_text(demo.fields.get(f.name) for f in self.schema.inputs)
        return Item(demo.id, key, tuple(turns), vector)

    def _slots(self, inputs: Mapping[str, Ref], slots: list[Ref]) -> list[dict[str, Any]]:
        out = []
        for name, ref in inputs.items():
            field = self.schema.field(name) or Field(name, '{"type":"string"}')
            out.append(_field(field, _Unknown(name, len(slots))))
            slots.append(ref)
        return out

    def _outputs(self) -> list[dict[str, Any]]:
        return [{**_field(f, ""), "type": type_name(f.type)} for f in self.schema.outputs]

    def _block(self, name: str, context: dict[str, Any], slots: list[Ref]) -> tuple[Segment, ...]:
        for template in self.templates:
            if name in template.blocks:
                return _segments(_render(template, name, context), slots)
        return ()


def _render(template: Any, block: str, context: dict[str, Any]) -> str:
    from jinja2 import TemplateError

    named = {f["name"]: f["value"] for f in context.get("inputs", ())}
    try:
        return "".join(template.blocks[block](template.new_context({**named, **context})))
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise SignatureError(
            f"template block {block!r}: {error}; it may use {', '.join(sorted({**named, **context}))}"
        ) from None


def _field(field: Field, value: Any) -> dict[str, Any]:
    return {"name": field.name, "label": field.label, "desc": field.desc, "value": value}


def answer_text(schema: Schema, fields: Mapping[str, Any]) -> str:
    """The outputs of a worked example in the form that the module's parse reads."""
    from ..ir.grammars import output_form
    from ..ir.types import json_text, jsonable

    if output_form(schema) == "json":
        return json_text({f.name: jsonable(_as_typed(f, fields.get(f.name))) for f in schema.outputs})
    return render_value(fields.get(schema.outputs[0].name))


def _as_typed(field: Field, value: Any) -> Any:
    """A value with the keys of its objects complete and in their order, as the grammar wants them."""
    from ..ir.types import read

    try:
        return read(field.type_json, value)
    except ValueError:  # a worked example may be incomplete; it is shown as it is
        return value


def _segments(text: str, slots: list[Ref]) -> tuple[Segment, ...]:
    """Text with marks, split into static text and slots."""
    parts = _MARK.split(text)
    changed = any("\ue000slot" in p.casefold() or "tols\ue000" in p.casefold() for p in parts[::2])
    if changed or any(int(i) >= len(slots) for i in parts[1::2]):
        raise SignatureError(f"a template changed an input's value, which is only known at run time: {text[:200]!r}")
    out: list[Segment] = []
    for i, part in enumerate(parts):
        if i % 2:
            out.append(Slot(slots[int(part)]))
        elif part:
            out.append(Text(part))
    return tuple(out)
