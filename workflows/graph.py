"""The state machine on one page: nodes, edges, and what each node is given.

screen -> find_papers -> find_dataset -> choose_analyses
       -> read (one a paper) -> plan -> outline -> detail (one a part) -> assemble
       -> [a person reviews] -> program -> schedule <-> run_task (one a task, in layers)

The workflows that it is compared with share its literature (screen -> find_papers -> read, or take_literature
from another run) and its end (program -> schedule <-> run_task), and put between them:

Where a model that sees is configured, the pictures of the papers are read after their texts (look), and the plots of
finished tasks after the last one (read_figures).

no_hierarchy  find_dataset -> choose_analyses -> whole
one_shot      one_shot
plan_execute  make_plan -> carry_out* -> replan <-> carry_out* -> write_up, tasks being run by carry_out
react         turn* -> write_up, tasks being run by turn
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial, wraps
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from labwright.workflows import baseline_nodes, figure_nodes, nodes, search_nodes
from labwright.workflows.baselines import Workflow
from labwright.workflows.materials import Materials
from labwright.workflows.progress import told_node
from labwright.workflows.state import RunState

STAGES = {
    "screen": "search",
    "find_papers": "search",
    "take_literature": "literature",
    "find_dataset": "search",
    "choose_analyses": "design",
    "read": "literature",
    "plan": "design",
    "outline": "design",
    "detail": "design",
    "assemble": "design",
    "program": "programming",
    "run_task": "programming",
    "whole": "design",
    "one_shot": "design",
    "make_plan": "design",
    "carry_out": "programming",
    "replan": "design",
    "turn": "programming",
    "write_up": "design",
}
"""Node to the stage its seconds count for."""
HOMES = (search_nodes, nodes, baseline_nodes, figure_nodes)
ENTRY: Mapping[Workflow, str] = {
    "one_shot": "one_shot",
    "plan_execute": "make_plan",
    "react": "turn",
    "literature": END,
}
"""Where a workflow begins its own work after the literature; ours and its variants choose data and analyses first."""


def build(m: Materials, checkpointer: BaseCheckpointSaver[Any], *, review: bool) -> CompiledStateGraph[Any]:
    """Wire the graph of the workflow that the materials name.

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

    _literature(graph, m)
    graph.add_edge("find_dataset", "choose_analyses")
    graph.add_edge("plan", "outline")
    graph.add_conditional_edges("outline", partial(nodes.each_part, m=m), ["detail"])
    graph.add_edge("detail", "assemble")
    graph.add_edge("assemble", "program")

    graph.add_edge("whole", "program")
    graph.add_edge("one_shot", "program")
    graph.add_edge("make_plan", "carry_out")
    for name in ("carry_out", "replan"):
        graph.add_conditional_edges(name, partial(baseline_nodes.after_step, m=m), ["carry_out", "replan", "write_up"])
    graph.add_conditional_edges("turn", baseline_nodes.after_turn, ["turn", "write_up"])
    graph.add_edge("write_up", END)

    graph.add_edge("program", "schedule")
    last = END
    if m.eyes is not None:
        last = "read_figures"
        graph.add_node(last, _timed(last, partial(figure_nodes.read_figures, m=m), m))
        graph.add_edge(last, END)
    graph.add_conditional_edges("schedule", partial(nodes.next_tasks, m=m, last=last), ["run_task", last])
    graph.add_edge("run_task", "schedule")
    return graph.compile(checkpointer=checkpointer, interrupt_before=["program"] if review else [])


def _literature(graph: StateGraph[Any], m: Materials) -> None:
    """From the start through the literature to where the workflow begins its own work."""
    own = ENTRY.get(m.workflow)
    then = own or ("whole" if m.workflow == "no_hierarchy" else "plan")
    found = "take_literature" if m.literature is not None else "find_papers"
    if m.literature is not None:
        graph.add_edge(START, "take_literature")
    else:
        graph.add_edge(START, "screen")
        graph.add_edge("screen", "find_papers")
    if own is None:
        graph.add_edge(found, "find_dataset")
        found = "choose_analyses"
    if m.eyes is not None:  # without a model that sees there is no such step, and the report says so
        graph.add_node("look", _timed("look", partial(figure_nodes.look, m=m), m))
        graph.add_edge("look", then)
        then = "look"
    graph.add_conditional_edges(found, partial(nodes.each_paper, then=then), ["read", then])
    graph.add_edge("read", then)


def _function(name: str) -> Any:
    return next(getattr(home, name) for home in HOMES if hasattr(home, name))


def _timed(name: str, node: Any, m: Materials) -> Any:
    @wraps(_function(name))
    def timed(state: Any) -> Any:
        stage = STAGES.get(name, "figures")
        m.on_stage(stage, m.log)
        with m.log.spending(stage, ""), told_node(m.store, name, state.get("id", "")):
            return node(state)

    # LangGraph reads a node's type hints to build its input; the wrapper takes the state as it comes.
    timed.__annotations__ = {}
    return timed
