"""What TOPLA-Summary reads: a question and the members' answers as one sequence of tokens, and where it looks at all.

LLM-TOPLA (arXiv:2410.03953, released code): [BOQ] question [EOQ] [BOC0] answer of member 0 [EOC0] [BOC1] ...; of an
answer the last six sentences are kept. Attention is global on the tokens after [BOQ] up to and including [EOQ], a
sliding window elsewhere. Marks are put in as ids, so that a text that spells one stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BOQ, EOQ = "[BOQ]", "[EOQ]"
LAST_SENTENCES = 6
PAD, BOS, EOS = "<pad>", "<s>", "</s>"


def marks(members: int) -> list[str]:
    """The special tokens of so many members, in the order in which they are added to a vocabulary.

    Example:
        >>> marks(2)
        ['[BOQ]', '[EOQ]', '[BOC0]', '[EOC0]', '[BOC1]', '[EOC1]']
    """
    return [BOQ, EOQ, *(mark for i in range(members) for mark in (f"[BOC{i}]", f"[EOC{i}]"))]


def last_sentences(answer: str, *, released: bool = False) -> str:
    """The last six sentences of an answer.

    The released code takes "####" away, cuts at every full stop and leaves the stops out, decimal ones too.

    Example:
        >>> last_sentences("One. P was 0.05.")
        'One. P was 0.05.'
        >>> last_sentences("One. P was 0.05. #### 3", released=True)
        'One P was 005  3'
    """
    if released:
        return "".join(answer.strip().replace("####", "").split(".")[-LAST_SENTENCES:])
    return " ".join(re.split(r"(?<=[.!?])\s+", answer.strip())[-LAST_SENTENCES:])


def source_ids(
    tokenizer: Any, question: str, answers: Sequence[str], most: int, *, released: bool = False
) -> list[int]:
    """Token ids of a question with its answers, between start and end; at most `most`.

    The question gets at most half of the room and each answer an equal part of the rest; a longer question loses its
    end, a longer answer its beginning, since conclusions come last.

    Args:
        tokenizer: knows the marks of as many members.
        question: the question, with its text where it has one.
        answers: of the members in their order; empty where a member gave none.
        most: tokens in all.
        released: shorten answers as the released code does.

    Raises:
        ValueError: there is no room for the marks.
    """
    room = most - 4 - 2 * len(answers)
    if room < 2 + 2 * len(answers):
        raise ValueError(f"{most} tokens hold no question with {len(answers)} answers")
    asked = _ids(tokenizer, question)[: room // 2]
    each = (room - len(asked)) // len(answers)
    ids = [_id(tokenizer, tokenizer.bos_token), _id(tokenizer, BOQ), *asked, _id(tokenizer, EOQ)]
    for number, answer in enumerate(answers):
        kept = _ids(tokenizer, last_sentences(answer, released=released))[-each:]
        ids += [_id(tokenizer, f"[BOC{number}]"), *kept, _id(tokenizer, f"[EOC{number}]")]
    return [*ids, _id(tokenizer, tokenizer.eos_token)]


def global_mask(ids: Sequence[int], begin: int, end: int) -> list[int]:
    """1 on the tokens after `begin` up to and including `end`, the question; 0 elsewhere.

    Example:
        >>> global_mask([0, 8, 5, 6, 9, 7], 8, 9)
        [0, 0, 1, 1, 1, 0]
    """
    first, last = list(ids).index(begin), list(ids).index(end)
    return [int(first < i <= last) for i in range(len(ids))]


def own_tokenizer(texts: Iterable[str], members: int, vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of these texts, with start, end, padding and the marks.

    Args:
        texts: what it is fitted to.
        members: how many have marks.
        vocabulary: most tokens besides the marks.
    """
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(BPE())
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.decoder = ByteLevelDecoder()
    alphabet = ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=vocabulary, special_tokens=[PAD, BOS, EOS], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, pad_token=PAD, bos_token=BOS, eos_token=EOS
    )
    add_marks(made, members)
    return made


def add_marks(tokenizer: Any, members: int) -> None:
    """Put the marks at the end of a tokenizer's vocabulary."""
    tokenizer.add_special_tokens({"additional_special_tokens": marks(members)})


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def _id(tokenizer: Any, token: str) -> int:
    return int(tokenizer.convert_tokens_to_ids(token))
