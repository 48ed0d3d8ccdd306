"""Pictures that come with a paper: its figures with their legends, and what its supplement shows.

They are handed on as they came. Before a model sees them they pass `labwright.safety.faces.gate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Protocol, runtime_checkable

from labwright.domain import Paper
from labwright.tools.jats import Article

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".gif")
"""Of pictures, the preferred first: packages hold a figure at full size and as a thumbnail in GIF."""
MOST_FIGURES: Final = 24
"""Of one paper; what comes after them is left out."""
MOST_MIB: Final = 32
"""Of one picture; a larger one is left out."""
SUPPLEMENT: Final = "supplement"
"""Label of a picture that the article shows nowhere."""


@dataclass(frozen=True, slots=True)
class PaperFigure:
    """One picture of a paper."""

    name: str
    """File, or place in the PDF."""
    label: str
    """As the paper numbers it; `SUPPLEMENT` for what it does not show."""
    legend: str
    """Empty where none could be told to belong to it."""
    image: bytes
    """In any format, unseen."""


@runtime_checkable
class HasFigures(Protocol):
    """A source of literature that holds pictures too."""

    def figures(self, paper: Paper) -> list[PaperFigure]:
        """The pictures of a paper that this source returned; empty where there are none to be had."""
        ...


def is_picture(name: str) -> bool:
    """A file's name ends as a picture's."""
    return name.lower().endswith(SUFFIXES)


def of_package(article: Article, names: Iterable[str], read: Callable[[str], bytes | None]) -> list[PaperFigure]:
    """The pictures of a package in which an article came: figures in their order, then what it shows nowhere.

    Args:
        article: names the files of its figures.
        names: files of the package.
        read: gives a file's bytes; None for one that is too large.
    """
    left = sorted(filter(is_picture, names), key=_preference)
    wanted: list[tuple[str, str, str]] = []
    for figure in article.figures:
        for graphic in figure.graphics:
            files, left = _split(graphic, left)
            wanted += [(file, figure.label, figure.legend) for file in files[:1]]
    for graphic in article.other_graphics:
        left = _split(graphic, left)[1]
    wanted += [(file, SUPPLEMENT, "") for file in sorted(left)]
    found = []
    for file, label, legend in wanted[:MOST_FIGURES]:
        image = read(file)
        if image is not None:
            found.append(PaperFigure(PurePosixPath(file).name, label, legend, image))
    return found


def _preference(name: str) -> tuple[int, str]:
    return next(i for i, suffix in enumerate(SUFFIXES) if name.lower().endswith(suffix)), name


def _split(graphic: str, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The files that a name stands for, with or without its suffix and in whatever folder, and the others."""
    wanted = PurePosixPath(graphic).name.casefold()
    bare = PurePosixPath(wanted).stem if is_picture(wanted) else wanted
    paths = {name: PurePosixPath(name.casefold()) for name in names}
    named = [name for name, path in paths.items() if wanted == path.name or bare == path.stem]
    return named, [name for name in names if name not in named]


def by_page(pictures: Sequence[str], captions: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Label and legend of each picture of one page, by order; empty ones where it cannot be told.

    Several pictures over one legend are the panels of one figure.

    Args:
        pictures: of the page, in order.
        captions: (label, legend) of the page, in order.
    """
    if len(captions) == 1:
        return [captions[0]] * len(pictures)
    if len(captions) == len(pictures):
        return list(captions)
    return [("", "")] * len(pictures)
