"""What watchers are shown as the way of a run is the way that the graph is wired."""

from __future__ import annotations

import pytest
from fake_run import materials
from langgraph.checkpoint.memory import InMemorySaver

from labwright.workflows.baselines import WORKFLOWS
from labwright.workflows.graph import build
from labwright.workflows.progress import WAYS


def reached(drawn, start: str = "__start__") -> set[str]:
    found, todo = set(), [start]
    while todo:
        here = todo.pop()
        for edge in drawn.edges:
            if edge.source == here and edge.target not in found:
                found.add(edge.target)
                todo.append(edge.target)
    return found - {"__end__", "schedule"}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_way_holds_the_nodes_that_the_graph_reaches(workflow, tmp_path):
    m = materials(tmp_path, workflow=workflow)
    drawn = build(m, InMemorySaver(), review=False).get_graph()
    assert set(WAYS[workflow]) == reached(drawn)
