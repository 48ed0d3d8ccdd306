"""Data sets on this machine: the catalogue's conversions run in the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from labwright.errors import ConfigInvalid, RunFailed
from labwright.sandbox.contract import Job, Limits, Result
from labwright.tools.analysis.rendering import GENE_SETS
from labwright.tools.catalogue import catalogue, gene_sets

CONVERSION = Limits(wall_s=900, memory_mib=6144, out_mib=512, file_mib=512)
RunJob = Callable[[Job, Path], Result]


def run_conversion(run_job: RunJob, script: str, inputs: Mapping[str, Path], out: Path) -> None:
    """Run one conversion.

    Raises:
        RunFailed: the script failed; the message ends with its error.
    """
    result = run_job(Job(script=script, inputs=inputs, limits=CONVERSION), out)
    if not result.ok:
        raise RunFailed(f"the conversion of a data set failed ({result.cause}): {result.stderr[-400:].strip()}")


def data_folder(name: str, run_job: RunJob) -> Path:
    """Folder of a data set or of the gene sets, fetched and converted when it is not there yet.

    Raises:
        HashMismatch, SourceUnavailable, NoUsableData, RunFailed: as named.
    """

    def convert(script: str, inputs: Mapping[str, Path], out: Path) -> None:
        run_conversion(run_job, script, inputs, out)

    if name == GENE_SETS:
        return gene_sets.materialise_gene_sets(name)
    return catalogue.materialise(name, convert)


def verified(name: str, run_job: RunJob) -> tuple[bool, str]:
    """Whether the card of a data set agrees with its data, and what was compared."""

    def convert(script: str, inputs: Mapping[str, Path], out: Path) -> None:
        run_conversion(run_job, script, inputs, out)

    return catalogue.verify(name, convert)


def allowed_cards(allowed: tuple[str, ...]) -> dict[str, catalogue.Card]:
    """Cards of the data sets that `[data] allowed` names, by id; where it names none, of all that need not be named.

    Raises:
        ConfigInvalid: a name is not in the catalogue.
    """
    cards = {card["id"]: card for card in catalogue.all_cards()}
    if unknown := sorted(set(allowed) - cards.keys()):
        raise ConfigInvalid(
            f"[data] allowed: not in the catalogue: {', '.join(unknown)}; see `labwright datasets list`"
        )
    if not allowed:
        return {name: card for name, card in cards.items() if not card["source"].get("named_only")}
    return {name: cards[name] for name in cards if name in allowed}
