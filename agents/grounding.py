"""Does a written instruction agree with the analysis that will really run?

A small model writes fluent methods: a t test where a Cox model runs, ten folds where five are set. Before such a
sentence enters a protocol, code compares the statistics it names with those of the operator's contract, and its
numbers with those that anybody gave.
"""

from __future__ import annotations

import re

from labwright.tools.analysis.contracts import OperatorContract

METHODS = {
    "a t test": r"\bt[- ]tests?\b|moderated t\b|student's t",
    "Kaplan-Meier": r"kaplan",
    "a log-rank test": r"log-?rank",
    "a Cox model": r"\bcox\b|proportional hazards|hazard ratio",
    "a rank-sum test": r"rank[- ]sum|wilcoxon|mann[- ](and )?whitney",
    "a chi-squared test": r"chi-?squared?\b|fisher'?s exact",
    "an analysis of variance": r"\banova\b|analysis of variance|kruskal",
    "logistic regression": r"logistic",
    "a linear model": r"linear (model|regression|mixed)|least[- ]squares",
    "a correlation": r"pearson|spearman|correlation coefficient",
    "a Wald test": r"\bwald\b|deseq",
    "limma or edgeR": r"\blimma\b|\bedger\b|\bvoom\b",
    "a random forest": r"random forest|gradient boost|decision tree",
    "a support vector machine": r"support vector|\bsvm\b",
    "a neural network": r"neural net|deep learning",
    "a penalty": r"lasso|elastic[- _]net|\bridge\b|penali[sz]ed",
    "principal components": r"principal component|\bpca\b",
    "k-means or Leiden clusters": r"k-means|leiden|louvain|hierarchical clustering",
    "UMAP or t-SNE": r"\bumap\b|t-sne",
    "GSEA": r"\bgsea\b|hypergeometric|over-?representation",
    "a ROC curve": r"\broc\b|\bauc\b|area under",
}
"""Name for people, and how texts name it."""
DATA = r"\b(?:GSE|GDS|GSM|GPL|SRP|PRJNA|E-MTAB-|phs)\d+|\b(?:TCGA|METABRIC|GTEx)\b"
"""How texts name public data."""


def disagreement(text: str, contract: OperatorContract, given: str) -> str:
    """What an instruction says that the analysis does not do or nobody gave; empty when it agrees.

    Args:
        text: the instruction.
        contract: the analysis.
        given: the objective, the data set and the chosen values; not the sources, which tell of other data.
    """
    done = " ".join((contract.title, contract.answers, contract.procedure, contract.reference, contract.name))
    for method, pattern in METHODS.items():
        if re.search(pattern, text, re.IGNORECASE) and not re.search(pattern, done, re.IGNORECASE):
            return f"it names {method}, which this analysis does not use"
    named, known = ({name.casefold() for name in re.findall(DATA, t, re.IGNORECASE)} for t in (text, given))
    if named - known:
        return f"it names the data {min(named - known)}, which nobody gave"
    unknown = sorted(_numbers(text) - _numbers(given) - _numbers(done))
    return f"the number {unknown[0]} is not among the parameters or the data" if unknown else ""


def _numbers(text: str) -> set[str]:
    """Numbers of a text, without the digits inside names (gse7390, CD8, R1.S2)."""
    return set(re.findall(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w]|\.\d)", text))
