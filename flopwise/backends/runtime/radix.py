"""A radix tree over token ids: what an engine's prefix cache holds, as far as it has been told.

Edges are packed ids, so that a walk runs at the speed of memcmp. A node starts at a block's border, as in the
caches of the engines themselves: two prompts that part inside a block share nothing of that block.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count

from ...ir.request import TokenIds, pack

TOKEN = 4  # bytes of a packed id
_AT_ONCE = 256  # bytes that are compared as one number: fewer steps than bisecting them


class _Node:
    __slots__ = ("children", "label", "parent", "queued", "used")

    def __init__(self, label: bytes, parent: _Node | None, used: int) -> None:
        self.label = label
        self.parent: _Node | None = parent  # None once forgotten, and of the root
        self.children: dict[bytes, _Node] = {}  # by the first block of their label
        self.used = used  # clock of the last insert that passed here
        self.queued = False  # True while the eviction heap holds an entry of it


def common(a: bytes, b: bytes, start: int = 0) -> int:
    """Bytes that `a[start:]` and `b` have in common at their front."""
    high = min(len(a) - start, len(b))
    if a.startswith(b[:high], start):
        return high
    low = 0
    while high - low > _AT_ONCE:  # by bisection until it pays to look at all that is left
        middle = (low + high) // 2
        if a[start + low : start + middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    differs = int.from_bytes(a[start + low : start + high], "little") ^ int.from_bytes(b[low:high], "little")
    return low + ((differs & -differs).bit_length() - 1) // 8 if differs else high


class RadixTree:
    """The prefixes an engine holds, in whole blocks, least recently used leaves evicted first.

    Args:
        block: Tokens of a block; only whole blocks are kept and matched.
        capacity: Most tokens held; None holds everything.

    Attributes:
        distinct: Tokens ever new at an insert: what a cache that never evicts would compute.
        now: Its clock, which ticks at each insert.
    """

    def __init__(self, block: int = 1, capacity: int | None = None) -> None:
        self.block = block
        self.capacity = capacity
        self.distinct = 0
        self.now = 0
        self._unit = TOKEN * block
        self._held = 0  # bytes
        self._root = _Node(b"", None, 0)
        self._walked = b"", self._root, 0  # the last lookup since the last insert, and the end of its last whole edge
        self._leaves: list[tuple[int, int, _Node]] = []  # heap of (used, tie, node), put right when popped
        self._tie = count()
        self._dead = 0  # entries of that heap whose node has been forgotten

    @property
    def size(self) -> int:
        """Tokens held."""
        return self._held // TOKEN

    def match(self, ids: TokenIds | bytes) -> int:
        """Tokens of a prompt that the cache would serve: whole blocks, and never the prompt's last token.

        Args:
            ids: The prompt, as ids or packed.
        """
        packed = _packed(ids)
        held = self.resident(packed)
        if held * TOKEN < len(packed):
            return held
        return min(held, max(len(packed) // TOKEN - 1, 0) // self.block * self.block)

    def resident(self, ids: TokenIds | bytes) -> int:
        """Tokens at the front of `ids` that are held, in whole blocks."""
        packed = _packed(ids)
        unit, position, node = self._unit, 0, self._root
        whole = 0
        while child := node.children.get(packed[position : position + unit]):
            label = child.label
            if not packed.startswith(label, position):
                position += common(packed, label, position) // unit * unit
                break
            whole = position = position + len(label)
            node = child
        self._walked = packed, node, whole
        return position // TOKEN

    def insert(self, ids: TokenIds | bytes) -> int:
        """Note that the engine now holds `ids`; return how many of its tokens are new.

        Args:
            ids: Ids or packed ids; what does not fill a block is left out.
        """
        packed = _packed(ids)
        self.now = now = self.now + 1
        unit = self._unit
        node, position = self._start(packed, now)
        end = len(packed) // unit * unit
        while position < end:
            child = node.children.get(packed[position : position + unit])
            if child is None:
                self._grow(node, packed[position:end], now)
                break
            shared = min(common(packed, child.label, position), end - position) // unit * unit
            node = child if shared == len(child.label) else self._split(child, shared)
            node.used = now
            position += shared
        new = (end - position) // TOKEN
        self.distinct += new
        if self.capacity is not None:
            self._evict(self.capacity // self.block * unit)
        return new

    def forget(self, ids: TokenIds | bytes, keep: int, since: int | None = None) -> int:
        """Drop what goes on from the first `keep` tokens of `ids` along them: the engine holds it no more.

        Args:
            ids: Ids or packed ids.
            keep: Tokens of them that are still held.
            since: What an insert after this time of the clock `now` has passed is kept; None keeps nothing.

        Returns:
            Tokens dropped.
        """
        packed, unit = _packed(ids), self._unit
        kept = keep // self.block * unit
        self._walked = b"", self._root, 0
        node, position = self._root, 0
        while child := node.children.get(packed[position : position + unit]):
            shared = common(packed, child.label, position) // unit * unit
            if position + shared > kept:
                if kept > position:
                    self._split(child, kept - position)
                return self._drop(child, since)
            if shared < len(child.label):
                break
            node, position = child, position + shared
        return 0

    def _start(self, packed: bytes, now: int) -> tuple[_Node, int]:
        """Where to go on from: what is inserted was most often looked up just before."""
        walked, node, position = self._walked
        self._walked = b"", self._root, 0  # the tree will have changed
        if not packed.startswith(walked):
            return self._root, 0
        up: _Node | None = node
        while up is not None:
            up.used = now
            up = up.parent
        return node, position

    def _grow(self, node: _Node, label: bytes, now: int) -> None:
        leaf = _Node(label, node, now)
        node.children[label[: self._unit]] = leaf
        self._held += len(label)
        self._enqueue(leaf)

    def _split(self, child: _Node, at: int) -> _Node:
        """Cut an edge in two; the node itself keeps the lower part, so that its heap entry stays true."""
        parent = child.parent
        assert parent is not None
        upper = _Node(child.label[:at], parent, child.used)
        parent.children[upper.label[: self._unit]] = upper
        child.label, child.parent = child.label[at:], upper
        upper.children[child.label[: self._unit]] = child
        return upper

    def _enqueue(self, node: _Node) -> None:
        if self.capacity is not None and not node.queued:
            node.queued = True
            heapq.heappush(self._leaves, (node.used, next(self._tie), node))

    def _evict(self, most: int) -> None:
        """Cut the least recently used leaves, from their ends, until at most `most` bytes are held."""
        while self._held > most:
            used, _, node = heapq.heappop(self._leaves)
            node.queued = False
            if node.parent is None:
                self._dead -= 1
                continue
            if node.children:
                continue  # grew since; queued again when its last child goes
            if node.used == used:
                self._trim(node, self._held - most)
            else:
                self._enqueue(node)

    def _trim(self, leaf: _Node, excess: int) -> None:
        keep = max(len(leaf.label) - excess, 0)
        self._held -= len(leaf.label) - keep
        parent = leaf.parent
        assert parent is not None
        if keep:
            leaf.label = leaf.label[:keep]
            self._enqueue(leaf)
            return
        self._part(parent, leaf)

    def _part(self, parent: _Node, child: _Node) -> None:
        del parent.children[child.label[: self._unit]]
        # A parent left with one child is not joined with it: it may have been used more recently.
        if not parent.children and parent is not self._root:
            self._enqueue(parent)

    def _drop(self, top: _Node, since: int | None) -> int:
        """Cut off the oldest subtrees of a node, or all of it; return the tokens that went."""
        before, stack = self._held, [top]
        while stack:
            node = stack.pop()
            if since is not None and node.used > since:
                stack += node.children.values()
                continue
            assert node.parent is not None
            self._part(node.parent, node)
            for gone in self._nodes(node):
                gone.parent = None
                self._held -= len(gone.label)
                self._dead += gone.queued
        if 2 * self._dead > len(self._leaves):
            self._leaves = [entry for entry in self._leaves if entry[2].parent is not None]
            heapq.heapify(self._leaves)
            self._dead = 0
        return (before - self._held) // TOKEN

    def check_integrity(self) -> None:
        """Raise AssertionError where the tree breaks its own rules; for tests and idle moments."""
        held = 0
        for node in self._nodes():
            if node is self._root:
                continue
            held += len(node.label)
            assert node.label and len(node.label) % self._unit == 0, "an edge is whole blocks, at least one"
            assert node.parent is not None and node.parent.children[node.label[: self._unit]] is node
            assert node.parent is self._root or node.parent.used >= node.used, "a parent is used with its child"
            leaf = not node.children
            assert self.capacity is None or not leaf or node.queued, "every leaf can be evicted"
        assert held == self._held, f"held {self._held} bytes by the count, {held} by the edges"
        assert self.capacity is None or self.size <= self.capacity
        assert self._dead == sum(entry[2].parent is None for entry in self._leaves), "the dead are counted"

    def _nodes(self, top: _Node | None = None) -> Iterator[_Node]:
        """A node and all below it."""
        stack = [top or self._root]
        while stack:
            node = stack.pop()
            stack.extend(node.children.values())
            yield node


def _packed(ids: TokenIds | bytes) -> bytes:
    return ids if isinstance(ids, bytes) else pack(ids)
