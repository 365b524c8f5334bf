"""The layered layout: nothing overlaps, every edge points down, whatever the graph."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from flopwise.report.layers import layout

NAMES = "abcdefgh"


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, tuple[float, float]], list[tuple[str, str]]]:
    count = draw(st.integers(1, len(NAMES)))
    sides = st.integers(10, 200)
    sizes = {name: (float(draw(sides)), float(draw(sides))) for name in NAMES[:count]}
    pairs = list(combinations(NAMES[:count], 2))
    return sizes, draw(st.lists(st.sampled_from(pairs), max_size=12)) if pairs else []


@given(graphs())
def test_boxes_lie_apart_inside_the_picture_and_edges_point_down(graph: tuple[dict, list]) -> None:  # type: ignore[type-arg]
    sizes, edges = graph
    found = layout(sizes, edges)
    for name, (x, y) in found.places.items():
        assert -1e-6 <= x <= found.width - sizes[name][0] + 1e-6
        assert -1e-6 <= y <= found.height - sizes[name][1] + 1e-6
    for a, b in combinations(sizes, 2):
        (ax, ay), (bx, by) = found.places[a], found.places[b]
        beside = ax + sizes[a][0] <= bx + 1e-6 or bx + sizes[b][0] <= ax + 1e-6
        above = ay + sizes[a][1] <= by + 1e-6 or by + sizes[b][1] <= ay + 1e-6
        assert beside or above, f"{a} and {b} overlap"
    assert set(found.lines) == set(edges)
    for (a, b), points in found.lines.items():
        heights = [y for _, y in points]
        assert heights == sorted(heights)
        assert heights[0] == found.places[a][1] + sizes[a][1] and heights[-1] == found.places[b][1]


def test_a_chain_is_one_column_and_a_long_edge_passes_beside() -> None:
    sizes = dict.fromkeys("abc", (100.0, 40.0))
    chain = layout(sizes, [("a", "b"), ("b", "c")])
    assert len({x for x, _ in chain.places.values()}) == 1
    around = layout(sizes, [("a", "b"), ("b", "c"), ("a", "c")])
    left = around.places["b"][0]
    passing = [x for x, _ in around.lines["a", "c"]][1:-1]
    assert passing and all(x < left or x > left + 100 for x in passing)


def test_no_graph_is_no_picture() -> None:
    assert layout({}, []).height == 0
