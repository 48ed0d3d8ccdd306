"""The script of an operator with its parameters: plain Python a person can run outside labwright.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labwright.tools.analysis.contract_types import OperatorContract

GENE_SETS = "go_bp_2023"
"""Id of the gene sets that enrichment uses."""

_SCRIPT = '''\
"""{title}: {dataset_id}.

Made from a labwright template. Outside labwright, set LABWRIGHT_DATA to the folder of the data set
(`labwright datasets show {dataset_id}` tells where){more_env}.
Writes to the current folder: {outputs}.
"""

import os

from labwright.tools.analysis import {name}, open_study

DATA = os.environ.get("LABWRIGHT_DATA", "/in/{dataset_id}")
{env}
study = open_study(DATA, {study_args}seed={seed})
findings = {name}(
    study,
{arguments})

for finding in findings:
    print(f"{{finding['id']}}: {{finding['statement']}}")
'''
_UPSTREAM = 'UPSTREAM = os.environ.get("LABWRIGHT_UPSTREAM", "/in/upstream")  # outputs of {task}\n'
_SETS = f'GENE_SETS = os.environ.get("LABWRIGHT_GENE_SETS", "/in/{GENE_SETS}")\n'


def render_script(
    contract: OperatorContract, params: Mapping[str, Any], dataset_id: str, upstream: str | None = None
) -> str:
    """The script that runs one operator.

    Args:
        contract: the operator.
        params: as `validate_params` returns them.
        dataset_id: id of the data set, mounted at `/in/<dataset_id>`.
        upstream: id of the task whose outputs are mounted at `/in/upstream`, if any.

    Returns:
        Python source text, at most 40 lines.

    Raises:
        ValueError: the operator needs an upstream table and none is named.
    """
    needs_table = bool(contract.requires.needs_table_of)
    if needs_table and not upstream:
        raise ValueError(f"{contract.name} needs the outputs of {contract.requires.needs_table_of}")
    arguments = "".join(
        f"    {name}={value!r},\n" for name, value in params.items() if name != "seed" and value is not None
    )
    return _SCRIPT.format(
        title=contract.title,
        dataset_id=dataset_id,
        name=contract.name,
        outputs=", ".join(output.name for output in contract.outputs),
        env=_UPSTREAM.format(task=upstream) + _SETS if needs_table else "",
        more_env=",\nLABWRIGHT_UPSTREAM to the outputs of the task before, LABWRIGHT_GENE_SETS to the gene sets"
        if needs_table
        else "",
        study_args="upstream=UPSTREAM, gene_sets=GENE_SETS, " if needs_table else "",
        seed=params.get("seed", 0),
        arguments=arguments,
    )
