"""The full-text side of a literature index: BM25 over title and text, on disk, through tantivy.

BM25 as in Robertson and Zaragoza (2009), k1 = 1.2, b = 0.75 (tantivy's), terms lower-cased, without stop
words, stemmed (Porter 2, English). Scores are not bounded; higher is better. Why tantivy:
docs/decisions/011-full-text-engine.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from labwright.tools.index_records import Filter, IndexedDocument

if TYPE_CHECKING:
    import tantivy

Signal = Literal["words", "grams", "coverage"]
"""words: BM25 over title and text. grams: BM25 over runs of four letters within words, which bridge spellings.
coverage: sum of the inverse document frequencies of the query's words that occur at all."""
GRAM = 4
WORD_CHARS = 60
QUERY_CHARS = 4000
"""A longer query is cut: its tail would only slow the search down."""
TITLE_BOOST = 0.3
"""Weight of a title hit beside the same word in the passage; chosen on SciFact train claims."""
HEAP_BYTES = 64_000_000
STOP = tuple(re.findall(r"\w+", "a an and are as at be but by for if in into is it no not of on or such that the their "
                        "then there these they this to was will with"))  # fmt: skip
NO_YEAR = 0


class SparseEngine:
    """One folder of tantivy segments."""

    def __init__(self, folder: Path | None, *, stem: bool = True) -> None:
        """Open the folder, or make it.

        Args:
            folder: where it is kept; None keeps everything in memory.
            stem: compare words without their endings.
        """
        import tantivy

        self._analyzer = _analyzer(stem)
        self._schema = _schema()
        if folder is None:
            self._index = tantivy.Index(self._schema)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self._index = tantivy.Index(self._schema, path=str(folder), reuse=True)
        self._index.register_tokenizer("english", self._analyzer)
        self._index.register_tokenizer("blanks", _blanks())
        self._index.reload()

    def add(self, rows: Iterable[tuple[int, IndexedDocument]]) -> None:
        """Add documents under their keys and commit; a key that is there is replaced."""
        import tantivy

        writer = self._index.writer(heap_size=HEAP_BYTES, num_threads=1)
        for key, document in rows:
            writer.delete_documents_by_term("key", key)
            writer.add_document(
                tantivy.Document(
                    key=key,
                    corpus=document.corpus,
                    type=document.type,
                    year=NO_YEAR if document.year is None else document.year,
                    retracted=int(document.retracted),
                    title=document.title,
                    body=document.passage(),
                    grams=" ".join(_grams(document.passage())),
                )
            )
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()

    def remove(self, keys: Iterable[int]) -> None:
        """Remove keys and commit; unknown ones are passed over."""
        writer = self._index.writer(heap_size=HEAP_BYTES, num_threads=1)
        for key in keys:
            writer.delete_documents_by_term("key", key)
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()

    def refresh(self) -> None:
        """See what other processes have committed."""
        self._index.reload()

    def count(self) -> int:
        """Documents in the index."""
        return int(self._index.searcher().num_docs)

    def keys(self) -> set[int]:
        """Keys of every document."""
        import tantivy

        searcher = self._index.searcher()
        hits = searcher.search(tantivy.Query.all_query(), max(1, self.count()), count=False).hits
        return set(_keys(searcher, hits))

    def search(self, signal: Signal, query: str, limit: int, where: Filter | None = None) -> dict[int, float]:
        """Key to score of the best documents that share a term with the query, best first."""
        wanted = self._wanted(signal, query)
        return {} if wanted is None else self._run(wanted, limit, where)

    def scores(self, signal: Signal, query: str, keys: Sequence[int]) -> dict[int, float]:
        """Scores of given documents; one that shares no term with the query is absent."""
        from tantivy import Occur, Query

        wanted = self._wanted(signal, query)
        if wanted is None or not keys:
            return {}
        among = Query.const_score_query(Query.term_set_query(self._schema, "key", list(keys)), 0.0)
        return self._run(Query.boolean_query([(Occur.Must, wanted), (Occur.Must, among)]), len(keys), None)

    def _run(self, wanted: tantivy.Query, limit: int, where: Filter | None) -> dict[int, float]:
        searcher = self._index.searcher()
        if where is not None and not where.is_open():
            wanted = self._filtered(wanted, where)
        hits = searcher.search(wanted, limit, count=False).hits
        keys = _keys(searcher, hits)
        return {key: float(score or 0.0) for key, (score, _) in zip(keys, hits, strict=True)}

    def _wanted(self, signal: Signal, query: str) -> tantivy.Query | None:
        from tantivy import Occur, Query

        def term(field: str, word: str) -> tantivy.Query:
            return Query.term_query(self._schema, field, word)

        if signal == "grams":
            parts = [term("grams", gram) for gram in _grams(query[:QUERY_CHARS])]
        elif signal == "words":
            words = self._analyzer.analyze(query[:QUERY_CHARS])
            parts = [term("body", w) for w in words]
            parts += [Query.boost_query(term("title", w), TITLE_BOOST) for w in words]
        else:
            words = list(dict.fromkeys(self._analyzer.analyze(query[:QUERY_CHARS])))
            parts = [Query.const_score_query(term("body", w), self._idf(w)) for w in words]
        return Query.boolean_query([(Occur.Should, part) for part in parts]) if parts else None

    def _idf(self, word: str) -> float:
        searcher = self._index.searcher()
        df = searcher.doc_freq("body", word)
        return math.log(1 + (searcher.num_docs - df + 0.5) / (df + 0.5)) if df <= searcher.num_docs else 0.0

    def _filtered(self, wanted: tantivy.Query, where: Filter) -> tantivy.Query:
        from tantivy import FieldType, Occur, Query

        needed: list[Query] = []
        for field, names in (("corpus", where.corpora), ("type", where.types)):
            if names:
                needed.append(Query.term_set_query(self._schema, field, list(names)))
        if where.since is not None or where.until is not None:
            low, high = where.since or 1, where.until if where.until is not None else 9999
            if low > high:
                return Query.empty_query()
            needed.append(Query.range_query(self._schema, "year", FieldType.Integer, low, high))
        if where.retracted is not None:
            needed.append(Query.term_query(self._schema, "retracted", int(where.retracted)))
        clauses = [(Occur.Must, wanted), *((Occur.Must, Query.const_score_query(q, 0.0)) for q in needed)]
        return Query.boolean_query(clauses)


def _keys(searcher: tantivy.Searcher, hits: Sequence[tuple[object, tantivy.DocAddress]]) -> list[int]:
    return [int(key or 0) for key in searcher.fast_field_values("key", [address for _, address in hits])]


def _schema() -> tantivy.Schema:
    import tantivy

    builder = tantivy.SchemaBuilder()
    for name in ("key", "year", "retracted"):
        builder.add_integer_field(name, stored=False, indexed=True, fast=True)
    for name in ("corpus", "type"):
        builder.add_text_field(name, stored=False, tokenizer_name="raw", index_option="basic")
    for name in ("title", "body"):
        builder.add_text_field(name, stored=False, tokenizer_name="english", index_option="freq")
    builder.add_text_field("grams", stored=False, tokenizer_name="blanks", index_option="freq")
    return builder.build()


def _grams(text: str) -> list[str]:
    """Runs of four characters within each word, its ends marked.

    Example:
        >>> _grams("mTOR up")
        ['_mto', 'mtor', 'tor_', '_up_']
    """
    return [gram for word in re.findall(r"\w+", text.lower()) for gram in _word_grams(word)]


@lru_cache(maxsize=100_000)
def _word_grams(word: str) -> tuple[str, ...]:
    marked = f"_{word[:WORD_CHARS]}_"
    return tuple(marked[i : i + GRAM] for i in range(max(1, len(marked) - GRAM + 1)))


def _blanks() -> tantivy.TextAnalyzer:
    from tantivy import TextAnalyzerBuilder, Tokenizer

    return TextAnalyzerBuilder(Tokenizer.whitespace()).build()


def _analyzer(stem: bool) -> tantivy.TextAnalyzer:
    from tantivy import Filter as Step
    from tantivy import TextAnalyzerBuilder, Tokenizer

    steps = [Step.lowercase(), Step.ascii_fold(), Step.custom_stopword(list(STOP))]
    steps += [Step.stemmer("english")] if stem else []
    builder = TextAnalyzerBuilder(Tokenizer.simple())
    for step in steps:
        builder = builder.filter(step)
    return builder.build()
