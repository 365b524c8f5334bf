"""Which tokens a pool of slots holds: a trie of ids, one slot a token, the leaf longest unused first to go."""

from __future__ import annotations

from collections.abc import Sequence

_ROOT = -1


class SlotTrie:
    """Prefixes by slots. Sequences that begin alike share the slots of what they share.

    Args:
        capacity: Slots in all; 0 holds nothing.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._children: dict[tuple[int, int], int] = {}  # (slot of the token before, token) to slot
        # Slot to its key, the longest untouched first. A path is touched from its leaf to its root, so a token is
        # never older than what follows it, and the oldest of all is a leaf.
        self._keys: dict[int, tuple[int, int]] = {}
        self._free = list(range(capacity - 1, -1, -1))

    def __len__(self) -> int:
        """Slots in use."""
        return len(self._keys)

    def match(self, ids: Sequence[int]) -> list[int]:
        """Slots of the longest prefix of `ids` that is held; it is now the last to go."""
        slots: list[int] = []
        at = _ROOT
        for token in ids:
            found = self._children.get((at, token))
            if found is None:
                break
            slots.append(found)
            at = found
        self._touch(slots)
        return slots

    def insert(self, ids: Sequence[int]) -> tuple[int, list[int]]:
        """Make room for a sequence, as far as the pool reaches.

        Returns:
            How many of its tokens were held before, and the slots of those that follow: they must be filled.
        """
        ids = ids[: self.capacity]
        path = self.match(ids)
        held = len(path)
        for token in ids[held:]:
            slot = self._free.pop() if self._free else self._evict()
            key = (path[-1] if path else _ROOT, token)
            self._children[key], self._keys[slot] = slot, key
            path.append(slot)
        self._touch(path)
        return held, path[held:]

    def _touch(self, path: Sequence[int]) -> None:
        for slot in reversed(path):
            self._keys[slot] = self._keys.pop(slot)  # to the end of the dict

    def _evict(self) -> int:
        """Take the slot of the oldest leaf. A path being inserted is newer than all else, and fits the pool."""
        slot = next(iter(self._keys))
        del self._children[self._keys.pop(slot)]
        return slot
