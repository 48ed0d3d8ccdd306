"""The state machine on one page: nodes, edges, and what each node is given.

screen -> find_papers -> find_dataset -> choose_analyses
       -> read (one a paper) -> plan -> outline -> detail (one a part) -> assemble
       -> [a person reviews] -> program -> schedule <-> run_task (one a task, in layers)
"""

from __future__ import annotations

from functools import partial, wraps
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from labwright.workflows import nodes, search_nodes
from labwright.workflows.materials import Materials
from labwright.workflows.state import RunState

STAGES = {
    "screen": "search",
    "find_papers": "search",
    "find_dataset": "search",
    "choose_analyses": "design",
    "read": "literature",
    "plan": "design",
    "outline": "design",
    "detail": "design",
    "assemble": "design",
    "program": "programming",
    "run_task": "programming",
}
"""Node to the stage its seconds count for."""


def build(m: Materials, checkpointer: BaseCheckpointSaver[Any], *, review: bool) -> CompiledStateGraph[Any]:
    """Wire the graph.

    Args:
        m: what the nodes work with.
        checkpointer: keeps the state after each step.
        review: stop before programming, for a person.
    """
    graph = StateGraph(RunState)
    for name in STAGES:
        graph.add_node(name, _timed(name, partial(_function(name), m=m), m))
    # A node of its own: an edge out of `run_task` would be decided once for each task, on its own writes.
    graph.add_node("schedule", lambda state: {})

    graph.add_edge(START, "screen")
    graph.add_edge("screen", "find_papers")
    graph.add_edge("find_papers", "find_dataset")
    graph.add_edge("find_dataset", "choose_analyses")
    graph.add_conditional_edges("choose_analyses", nodes.each_paper, ["read"])
    graph.add_edge("read", "plan")
    graph.add_edge("plan", "outline")
    graph.add_conditional_edges("outline", partial(nodes.each_part, m=m), ["detail"])
    graph.add_edge("detail", "assemble")
    graph.add_edge("assemble", "program")
    graph.add_edge("program", "schedule")
    graph.add_conditional_edges("schedule", partial(nodes.next_tasks, m=m), ["run_task", END])
    graph.add_edge("run_task", "schedule")
    return graph.compile(checkpointer=checkpointer, interrupt_before=["program"] if review else [])


def _function(name: str) -> Any:
    return getattr(search_nodes if STAGES[name] == "search" else nodes, name)


def _timed(name: str, node: Any, m: Materials) -> Any:
    @wraps(_function(name))
    def timed(state: Any) -> Any:
        m.on_stage(STAGES[name], m.log)
        with m.log.spending(STAGES[name], ""):
            return node(state)

    # LangGraph reads a node's type hints to build its input; the wrapper takes the state as it comes.
    timed.__annotations__ = {}
    return timed
