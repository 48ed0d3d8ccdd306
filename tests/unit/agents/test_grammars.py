"""Every kind of schema that the agents ask with can be enforced, and its answers can be written, by a local model."""

from __future__ import annotations

import json

import pytest
import tiny_models
from llguidance import LLMatcher

from labwright.agents.design import Outline
from labwright.agents.literature import PartsDraft, steps_schema
from labwright.agents.programming import CodeAnswer
from labwright.agents.schemas import model_of
from labwright.agents.search import Queries
from labwright.models.grammar import grammar_tokenizer, schema_grammar
from labwright.models.scripted import smallest
from labwright.tools.analysis.contracts import OPERATORS, param_schema
from labwright.tools.catalogue.catalogue import all_cards


@pytest.fixture(scope="module")
def words():
    made = tiny_models.tokenizer()
    return grammar_tokenizer(made, len(made))


def written(schema, words) -> bool:
    """The smallest answer of a schema passes its grammar, and one that is no object does not."""
    grammar = schema_grammar(schema, words)
    text = json.dumps(smallest(schema, schema.get("$defs", {})), ensure_ascii=False)
    matcher = LLMatcher(words, grammar)
    taken = matcher.consume_tokens(words.tokenize_str(text)) and matcher.is_accepting()
    return taken and not LLMatcher(words, grammar, log_level=0).consume_tokens(words.tokenize_str("[1]"))


@pytest.mark.parametrize(
    "answer", [Outline, Queries, PartsDraft, CodeAnswer, steps_schema(4)], ids=lambda a: a.__name__
)
def test_the_answers_of_the_agents(answer, words):
    assert written(answer.model_json_schema(), words)


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_the_parameters_of_every_operator_on_every_data_set(name, words):
    seen = 0
    for card in all_cards():
        try:
            schema = param_schema(OPERATORS[name], card)
        except ValueError:  # the data set cannot carry this analysis
            continue
        assert written(model_of("Parameters", schema).model_json_schema(), words), card["id"]
        seen += 1
    assert seen
