"""Bearer tokens: where they are read from, and how one that comes in is compared."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError

VARIABLE = "FLOPWISE_SERVE_TOKENS"
SHORTEST = 16  # characters: what is shorter can be guessed over a network


def read_tokens(variable: str | None, file: str | None) -> tuple[str, ...]:
    """The tokens that may ask, none where nothing names any.

    Args:
        variable: An environment variable that holds tokens between blanks; by default `FLOPWISE_SERVE_TOKENS`, where
            it is set.
        file: A file with a token a line; lines that begin with `#` are comments.

    Raises:
        InputError: What was named is missing or holds no token, or one is too short or not plain.
    """
    if file is not None:
        return _checked(_lines(file), f"--token-file {file}")
    text = os.environ.get(variable or VARIABLE)
    if text is None and variable is None:
        return ()
    if text is None:
        raise InputError(f"serve: --token-env {variable}: there is no such environment variable; set it to a token")
    return _checked(text.split(), f"the environment variable {variable or VARIABLE}")


def _lines(file: str) -> list[str]:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"serve: --token-file {file}: cannot be read: {error}; name a file of one token a line"
        ) from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _checked(tokens: Sequence[str], place: str) -> tuple[str, ...]:
    if not tokens:
        raise InputError(f"serve: {place} holds no token; put one in, such as `openssl rand -hex 32` prints")
    for number, token in enumerate(tokens, 1):  # a message must not show a secret
        if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
            raise InputError(
                f"serve: {place}: token {number} must have at least {SHORTEST} characters, of printable ASCII without "
                f"blanks, but has {len(token)}; `openssl rand -hex 32` prints a good one"
            )
    return tuple(tokens)


class Doorkeeper:
    """Knows whether a request's `Authorization` header lets it in.

    Digests are compared, every one of them and each in constant time, so the time taken tells nothing of a token.

    Args:
        tokens: Those that are let in; none to let everyone in.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._digests = [_digest(token.encode()) for token in tokens]

    def admits(self, authorization: bytes | None) -> bool:
        """Whether the header's value, as it was sent, is `Bearer` and a token that is known."""
        if not self._digests:
            return True
        scheme, _, token = (authorization or b"").partition(b" ")
        given = _digest(token.strip())
        found = [hmac.compare_digest(given, known) for known in self._digests]
        return any(found) and scheme.lower() == b"bearer"


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
