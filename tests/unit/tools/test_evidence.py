"""Quotes: sentences as spans, claimed quotes found or refused, and every span is the stored text itself."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labwright.domain import Quote
from labwright.errors import QuoteNotFound, ReferenceUnresolved
from labwright.tools.corpus.records import Record, load_records
from labwright.tools.evidence import LEAST_CHARS, is_verbatim, locate, sentences

TEXT = (
    "Background\n\nTreatment did not reduce mortality in 153 of 1,204 patients (hazard ratio 0.95,\n"
    "95% CI 0.81\u20131.12; P = 0.57).\u00a0The \ufb01rst caf\u00e9 cohort was non-respon-\nsive to \u03b2-blockers."
    " Change was \u22120.5 mg and -1.5 mg/dl. \u201cQuoted\u201d p53-dependent TP53 > BRCA1. End"
)
BY_ID = pytest.mark.parametrize("record", load_records(), ids=lambda record: record.id)
WORDS = st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=6), min_size=1, max_size=30)
SPACE = st.text(" \t\n\r\u00a0\u2003\u2028", min_size=1, max_size=3)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def said(record: Record) -> list[str]:
    return [*record.sections.background, *record.sections.methods, *record.sections.findings]


@pytest.mark.parametrize(
    "claim",
    [
        "Treatment did not reduce mortality in 153 of 1,204 patients",
        "(hazard ratio 0.95,\n95% CI 0.81\u20131.12; P = 0.57).",
        "  hazard   ratio 0.95, 95%\tCI 0.81\u20131.12  ",
        "P = 0.57). The \ufb01rst caf\u00e9 cohort",
        "of 1,204\u2003patients",
        "\u22120.5 mg",
        "-1.5 mg/dl",
        "1,204",
        "\u201cQuoted\u201d p53-dependent TP53 > BRCA1",
        ", 95% CI",
        "End",
        "Background",
    ],
)
def test_a_quote_is_found_whatever_its_white_space(claim: str) -> None:
    quote = locate("p", TEXT, claim)
    assert TEXT[quote.start : quote.end] == quote.text
    assert squeezed(quote.text) == squeezed(claim)
    assert is_verbatim(quote, TEXT)


@pytest.mark.parametrize(
    "claim",
    [
        "Treatment did reduce mortality in 153 of 1,204 patients",  # negation dropped
        "Treatment did not reduce mortality in 154 of 1,204 patients",  # number changed
        "Treatment did not reduce mortality in 1,204 of 153 patients",  # numbers swapped
        "p53-dependent BRCA1 > TP53",  # names swapped
        "hazard ratio 0.9",  # number cut at its end
        "of 1,20",
        "5, 95% CI",  # ... and at its start
        "204 patients",
        "0.5 mg",  # sign dropped, as a minus and as a hyphen
        "1.5 mg/dl",
        "P = 0",
        "CI 0.81",  # half of a range
        "responsive to \u03b2-blockers",  # prefix dropped; joined over a line end
        "respon- sive",
        "53-dependent",  # word cut
        "p53",  # half of a compound
        "Treat",
        "The \ufb01rst cafe cohort",  # accent dropped
        "Treatment\u200bdid not",  # zero width is no white space
        "hazard ratio 0.95 95% CI",  # comma dropped
        "Treatment ... mortality",  # left out in the middle
        "End.",
        "mortality in .* patients",  # no pattern
        "",
        " \n\t",
    ],
)
def test_anything_but_white_space_that_differs_is_refused(claim: str) -> None:
    with pytest.raises(ReferenceUnresolved, match=r"^paper-7 does not hold the quote"):
        locate("paper-7", TEXT, claim)


def test_the_refusal_is_short_and_one_line() -> None:
    with pytest.raises(ReferenceUnresolved) as refused:
        locate("p", TEXT, "x\n\x1b[2J" * 10_000)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("document", "claim", "start", "end"),
    [
        ("a a a a", "a a", 0, 3),
        ("one two. one two.", "one two", 0, 7),
        ("15 mg, then 5 mg", "5 mg", 12, 16),
        ("aba aba\naba", "aba aba aba", 0, 11),
        ("ab ab abab", "abab", 6, 10),
        ("\U0001f9ec gene", "gene", 2, 6),  # spans count characters, not bytes
        ("x", "x", 0, 1),
    ],
)
def test_the_first_of_several_places_is_taken_and_spans_count_characters(document, claim, start, end) -> None:
    assert locate("p", document, claim) == Quote(paper="p", start=start, end=end, text=document[start:end])


def test_nothing_is_found_in_an_empty_text_and_a_huge_one_is_searched_in_seconds() -> None:
    with pytest.raises(ReferenceUnresolved):
        locate("p", "", "a")
    huge = "the gene was measured " * 100_000 + "in 12 of 30 mice "
    started = time.process_time()
    assert locate("p", huge, "measured in  12 of 30 mice").text == "measured in 12 of 30 mice"
    with pytest.raises(ReferenceUnresolved):
        locate("p", huge, "the gene was measured " * 30 + "in 13 of 30 mice")
    assert len(sentences("p", "It was measured in mice of the lab. " * 20_000)) == 20_000
    assert time.process_time() - started < 20


@given(words=WORDS, data=st.data())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_run_of_words_is_found_with_any_white_space(words: list[str], data: st.DataObject) -> None:
    document = "".join(word + data.draw(SPACE) for word in words)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first + 1, len(words)))
    claim = "".join(data.draw(SPACE) + word for word in words[first:last])
    quote = locate("p", document, claim)
    assert document[quote.start : quote.end] == quote.text
    assert quote.text.split() == words[first:last]


@given(words=st.lists(st.text("ab01", min_size=1, max_size=4), min_size=2, max_size=12), data=st.data())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_changed_word_is_never_found(words: list[str], data: st.DataObject) -> None:
    changed = list(words)
    changed[data.draw(st.integers(0, len(words) - 1))] = data.draw(st.text("ab01", min_size=1, max_size=4))
    assume(changed != words)
    with pytest.raises(ReferenceUnresolved):
        locate("p", " ".join(words), " ".join(changed))


@BY_ID
def test_real_records_hold_what_they_say_and_no_changed_number(record: Record) -> None:
    document = record.text()
    spans = {quote.text for quote in sentences(record.id, document)}
    for sentence in said(record):
        assert is_verbatim(locate(record.id, document, re.sub(" ", "\n ", sentence)), document)
        assert sentence in spans
        for number in re.finditer(r"\d", sentence):
            fake = sentence[: number.start()] + str((int(number.group()) + 1) % 10) + sentence[number.end() :]
            with pytest.raises(ReferenceUnresolved):
                locate(record.id, document, fake)


@given(st.text(st.sampled_from("aB1 .!?\n\r#:(\u00a0\u2028\ufb01-"), max_size=400))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_sentences_are_verbatim_in_order_apart_and_long_enough(document: str) -> None:
    found = sentences("p", document)
    assert all(is_verbatim(q, document) for q in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert all(len(q.text) >= LEAST_CHARS and q.text == q.text.strip() and "\n" not in q.text for q in found)


def test_headings_and_fragments_are_no_sentences_and_line_ends_are_not_part_of_one() -> None:
    document = "# A heading that is long enough to count.\nMethods:\r\n  We measured (twice) 5.3 mg.  Did it all again, ok now!\r\n"
    document += "x" * (LEAST_CHARS - 1) + "\n" + "y" * LEAST_CHARS
    found = [q.text for q in sentences("p", document)]
    assert found == ["We measured (twice) 5.3 mg.", "Did it all again, ok now!", "y" * LEAST_CHARS]


def test_an_abbreviation_cuts_a_sentence_but_never_alters_it() -> None:
    """Known: the words before "e.g. Cox" are lost as a fragment; what is left is still verbatim."""
    document = "We used e.g. Cox models in 100 patients of the cohort."
    assert [q.text for q in sentences("p", document)] == ["Cox models in 100 patients of the cohort."]


@pytest.mark.parametrize(
    ("start", "end", "text"), [(0, 4, "text"), (1, 5, "Text"), (4, 9, ""), (0, 99, "Text"), (3, 1, "")]
)
def test_a_span_that_is_not_the_text_is_not_verbatim(start: int, end: int, text: str) -> None:
    assert is_verbatim(Quote(paper="p", start=0, end=4, text="Text"), "Text")
    assert not is_verbatim(Quote(paper="p", start=start, end=end, text=text), "Text")


SENTENCE = (
    "Loss of Shh or TGF-\u03b21 did not alter the \u201cefficient\u201d re-\nsponse of well-\nknown fibroblasts "
    "(n = 17, p \u2264 0.05) at 5 \u00b5M and \u22120.5 mg/kg; 10\u2076 cells of caf\u00e9-au-lait spots grew."
)


@pytest.mark.parametrize(
    "claim",
    [
        "loss of Shh or TGF-\u03b21 did not",  # case of an ordinary word
        "DID NOT ALTER THE",  # all capitals say nothing of case
        "TGF-beta1 did not",
        'the "e\ufb03cient" response of well-known \ufb01broblasts',
        "the \u201ce\u00adffi\u00adcient\u201d response",
        "response of well-known fibro-\nblasts",
        "(n=17, p <= 0.05)",
        "p \u2264 0.05) at 5 \u03bcM and -0.5 mg/kg",
        "cafe\u0301-au-lait",
    ],
)
def test_what_typesetting_changes_is_levelled_and_the_quote_is_the_documents_own_text(claim: str) -> None:
    quote = locate("p", SENTENCE, claim)
    assert is_verbatim(quote, SENTENCE)


@pytest.mark.parametrize(
    "claim",
    [
        "Loss of SHH or TGF-\u03b21 did not",  # another species' gene
        "Loss of Shh or TGF-\u03b22 did not",
        "Loss of Shh or TGF-\u03b1 1 did not",
        "Loss of Shh or TGF-\u03b21 did alter",
        "alter the \u201cefficient\u201d",  # cut right behind its negation
        "p \u2265 0.05",
        "p < 0.05",
        "n = 1",
        "at 5 mM",
        "at 5 \u00b5m",
        "at 5 nM",
        "and 0.5 mg/kg",
        "and +0.5 mg/kg",
        "106 cells",  # not ten to the sixth
        "10 cells",
        "cafe-au-lait",
        "sponse of",
        "known fibroblasts",
        "Loss of Shh and TGF-\u03b21",
    ],
)
def test_what_changes_the_meaning_is_refused_and_the_nearest_sentence_told(claim: str) -> None:
    with pytest.raises(QuoteNotFound) as refused:
        locate("p", SENTENCE, claim)
    assert refused.value.nearest
    assert refused.value.nearest in SENTENCE


OCR = "The pattem of c1inical retum was not modified by IL10 or p21 in 10 mice; the closed arrn was intemal."


@pytest.mark.parametrize(
    ("claim", "held"),
    [
        ("The pattern of clinical return was not modified", "The pattem of c1inical retum was not modified"),
        ("the closed arrn was internal", "the closed arrn was intemal"),
        ("not modifled by IL10", ""),
        ("of clinical return was modified", ""),
        ("not modified by ILlO or p21", ""),
        ("by IL10 or p2l in 10 mice", ""),
        ("in lo mice", ""),
        ("the dosed arrn was internal", ""),
        ("the closed arm was internal", ""),  # short words are never guessed at
    ],
)
def test_letters_that_are_misread_count_only_in_long_ordinary_words(claim: str, held: str) -> None:
    if held:
        assert locate("p", OCR, claim).text == held
    else:
        with pytest.raises(QuoteNotFound):
            locate("p", OCR, claim)
