"""ChatPredict and ChatThought: prompts in the layout of DSPy's ChatAdapter (Khattab et al., 2023, arXiv:2310.03714).

The words and markers are those of DSPy 3.3, so that a program tuned there keeps its prompts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ..errors import SignatureError
from ..ir.builder import Builder
from ..ir.grammars import output_form
from ..ir.prompt import Prompt, Ref, Text
from ..ir.request import Grammar
from ..ir.schemas import STRING, Field, Schema, type_name
from .base import Module, S
from .chat_words import header, words
from .extract import answer_tokens
from .template import Writer

STOP = ("\n\n[[ ## ", "\n[[ ## ")
_TEMPLATE = """\
{% block system %}Your input fields are:
{{ described(fields_in) }}
Your output fields are:
{{ described(fields_out) }}
All interactions will be structured in the following way, with the appropriate values filled in.

{% for f in fields_in %}{{ header(f) }}
{{ '{' }}{{ f.name }}{{ '}' }}

{% endfor %}{% for f in fields_out %}{{ header(f) }}
{{ '{' }}{{ f.name }}{{ '}' }}{{ note(f) }}

{% endfor %}[[ ## completed ## ]]
In adhering to this structure, your objective is: {{ objective(instruction) }}{% endblock %}
{% block user %}{% if demo is defined %}{{ asked(demo) }}{% else %}{% for f in inputs %}[[ ## {{ f.name }} ## ]]
{{ f.value }}

{% endfor %}{{ request(fields_out) }}{% endif %}{% endblock %}
{% block assistant %}{{ replied(demo) }}{% endblock %}
{% block prefill %}{{ header(fields_out[0]) }}
{% endblock %}"""


@dataclass(frozen=True)
class ChatPredict(Module[S]):
    """Each output stands after a marker with its name; they are written one after another in one turn.

    Prompts have the text of DSPy's ChatAdapter for inputs of any type and outputs that are texts, numbers, truth
    values or literals. The model's turn begins with the first marker, and each further marker is put there, not
    written by the model: what follows a marker is held to the output's type.

    When to use it: for a program that was tuned in DSPy, so that its instruction and worked examples meet the prompt
    that they were tuned for. Worked examples may lack fields; they are then shown as DSPy shows such ones.
    Inputs that are truth values or missing read as in JSON. An enumeration is described as a Literal of its values, and
    bounds of numbers are not described.

    Cost: one Generate for each output, each going on in the turn of the one before;
    C(p, m1) + C(p + m1, m2) + ..., where text before the next output is read from the cache.

    Expands to::

        graph ChatPredict(question):
          %ChatPredict.write.answer: text = generate() n=1 T=0 max=32 from %question
          %ChatPredict.record: Answer = parse(%ChatPredict.write.answer, %question) scalar -> question, answer
          return %ChatPredict.record
    """

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A Generate for each output, its marker before it; their values are packed together."""
        schema, written = self.signature, self.written()
        _check_outputs(self.kind, schema)
        writer = Writer(schema, _TEMPLATE, self.template)
        prompt = writer.prompt(b, inputs, self.worked, **words(schema, written))
        said: Ref | None = None
        values: dict[str, Ref] = {}
        for output in written:
            if said is not None:
                prompt = Prompt((), (Text(f"\n\n{header(output)}\n"),), continues=said)
            name, one = output.name, Schema(schema.name, schema.instruction, schema.inputs, (output,))
            decoding = self.decoding(*_limits(output, self.max_tokens))
            said = b.generate(f"write.{name}", prompt, decoding, _grammar(output))
            if len(written) == 1:
                return b.parse("record", said, one, output_form(one), inputs)
            values[name] = b.parse(f"read.{name}", said, one, output_form(one)).at(name)
        return b.pack("record", schema, {**inputs, **values})

    def written(self) -> tuple[Field, ...]:
        """What the model writes, in order."""
        return self.signature.outputs


@dataclass(frozen=True)
class ChatThought(ChatPredict[S]):
    r"""Reasoning after a marker of its own, then the outputs as ChatPredict has them: DSPy's ChainOfThought.

    Attributes:
        reasoning: What the reasoning is to hold, for the prompt; nothing where not given.

    Its record has the further field `reasoning`. When to use it: as ChatPredict.

    Cost: one Generate more than ChatPredict, of up to `max_tokens`; C(p, max_tokens) + C(p + max_tokens, m1) + ...

    Expands to::

        graph ChatThought(question):
          %ChatThought.write.reasoning: text = generate() n=1 T=0 max=512 stop=['\n\n[[ ## ', '\n[[ ## '] from %question
          %ChatThought.read.reasoning: Answer = parse(%ChatThought.write.reasoning) text -> reasoning
          %ChatThought.write.answer: text = generate() n=1 T=0 max=32 from %ChatThought.write.reasoning
          %ChatThought.read.answer: Answer = parse(%ChatThought.write.answer) scalar -> answer
          %ChatThought.record: Answer = pack(%question, %ChatThought.read.reasoning.reasoning, %ChatThought.read.answer.answer) question, reasoning, answer
          return %ChatThought.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("reasoning",)
    explains: ClassVar[tuple[str, ...]] = ("reasoning",)
    reasoning: str = field(default="", kw_only=True)

    def written(self) -> tuple[Field, ...]:
        """The reasoning first."""
        return (Field("reasoning", STRING, self.reasoning), *self.signature.outputs)


def _limits(field: Field, most: int) -> tuple[tuple[str, ...], int]:
    """Where an output ends: a text at the next marker, everything else where its type does."""
    one = Schema("", "", (), (field,))
    return (STOP, most) if output_form(one) == "text" else ((), answer_tokens(one))


def _grammar(field: Field) -> Grammar | None:
    """Python's words for truth values, which DSPy asks for; other types have grammars of their own."""
    return Grammar("regex", " ?(True|False)") if field.type == {"type": "boolean"} else None


def _check_outputs(kind: str, schema: Schema) -> None:
    for f in schema.outputs:
        if output_form(Schema("", "", (), (f,))) == "json":
            raise SignatureError(
                f"{kind}({schema.name}): outputs must be texts, numbers, truth values or literals, but {f.name!r} is "
                f"{type_name(f.type)}; use Predict or ChainOfThought, which write such outputs as JSON"
            )
