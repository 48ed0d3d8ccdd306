"""Contracts of the operators about patients and their survival."""

from __future__ import annotations

from labwright.tools.analysis.contract_parts import FINDINGS, figure, group_column, table
from labwright.tools.analysis.contract_types import OperatorContract, Param, Requirement

COHORT_CONTRACTS = (
    OperatorContract(
        name="cohort_summary",
        title="Cohort description and quality control",
        answers="Who is in the cohort, what is missing, and which samples are technical outliers?",
        procedure="Summarise every clinical column by median and quartiles or counts, for all samples and for each "
        "group; count missing values, and mark samples whose principal component score lies beyond 5 "
        "median absolute deviations.",
        requires=Requirement(),
        params=(group_column("Column whose levels become the columns of table 1.", optional=True),),
        outputs=(
            table("cohort_summary.csv", "counts, medians and missing values recomputed from the samples"),
            table("sample_quality.csv", "one row per sample; totals recomputed, outlier flags follow the rule"),
            figure("cohort_summary.png"),
            FINDINGS,
        ),
        reference="Median and quartiles, counts; outliers: principal component score beyond 5 median "
        "absolute deviations (rule of the scater package, McCarthy 2017, at 5 instead of 3).",
        limits="Describes; it tests nothing. An outlier flag is a reason to look, not to drop.",
    ),
    OperatorContract(
        name="survival_curves",
        title="Kaplan-Meier curves with log-rank test",
        answers="Does survival differ between the groups of a clinical column, or between patients "
        "with high and low expression of one gene?",
        procedure="Compare survival between the groups by Kaplan-Meier curves and a log-rank test, with a hazard "
        "ratio where there are two groups.",
        requires=Requirement(needs_survival=True),
        params=(
            group_column("Column whose levels are compared (leave out when a feature is given).", optional=True),
            Param(
                name="feature",
                kind="feature",
                optional=True,
                description="Gene or probe split at its median (leave out when a column is given).",
            ),
        ),
        outputs=(
            table("survival_curves.csv", "one row per group; numbers at risk, events and medians recomputed"),
            table("log_rank.csv", "statistic and p recomputed from the data"),
            figure("survival_curves.png"),
            FINDINGS,
        ),
        reference="Kaplan and Meier 1958; log-rank test (Mantel 1966), lifelines.",
        limits="Unadjusted for other covariates; a median split loses information.",
    ),
    OperatorContract(
        name="cox_regression",
        title="Multivariable Cox regression",
        answers="Which clinical covariates are independently associated with survival, and how well "
        "do they predict it in held-out patients?",
        procedure="Fit one multivariable Cox model of the covariates, test its proportional hazards, and measure "
        "its concordance in held-out folds.",
        requires=Requirement(needs_survival=True, needs_covariates=True),
        params=(
            Param(
                name="covariates",
                kind="covariates",
                low=1,
                high=6,
                description="Clinical columns entered together into the model.",
            ),
            Param(
                name="feature",
                kind="feature",
                optional=True,
                description="Gene or probe added to the clinical columns (per standard deviation).",
            ),
        ),
        outputs=(
            table("cox_regression.csv", "one row per term; hazard ratios refitted and compared"),
            table("concordance.csv", "one row per fold, in [0, 1], patients add up to the data"),
            figure("cox_regression.png"),
            FINDINGS,
        ),
        reference="Cox 1972, Efron ties (lifelines); Harrell's concordance on held-out folds; "
        "proportional hazards by scaled Schoenfeld residuals (Grambsch and Therneau 1994).",
        limits="Association, not cause; complete cases only.",
    ),
    OperatorContract(
        name="prognostic_features",
        title="Prognostic genes one by one",
        answers="Expression of which single genes is associated with survival, relapse or metastasis?",
        procedure="Fit a univariate Cox model to every gene, rank the genes by p value, and call those below 5 "
        "percent false discovery rate prognostic.",
        requires=Requirement(needs_survival=True, needs_matrix=True, kinds=("expression_survival",)),
        params=(),
        outputs=(
            table("prognostic_features.csv", "one row per feature; FDR recomputed, 20 rows refitted"),
            figure("prognostic_features.png"),
            FINDINGS,
        ),
        reference="Univariate Cox per standard deviation, Newton steps on the Breslow partial "
        "likelihood for all features at once; Wald p; Benjamini and Hochberg 1995.",
        limits="Single genes, unadjusted, on all patients: a discovery list, not a validated signature.",
    ),
    OperatorContract(
        name="survival_signature",
        title="Prognostic signature with held-out evaluation",
        answers="Can a multi-gene expression signature predict survival in patients it was not trained on?",
        procedure="Train a penalised Cox signature inside each training fold, score the held-out patients, and "
        "measure concordance and the difference in survival between high and low risk groups.",
        requires=Requirement(needs_survival=True, needs_matrix=True, min_features=20, kinds=("expression_survival",)),
        params=(
            Param(
                name="max_features",
                kind="integer",
                default=100,
                low=5,
                high=200,
                optional=True,
                description="Most features kept by the univariate filter inside each fold.",
            ),
            Param(
                name="penalty",
                kind="choice",
                default="ridge",
                choices=("ridge", "elastic_net", "lasso"),
                optional=True,
                description="Penalty of the Cox model.",
            ),
            Param(
                name="folds",
                kind="integer",
                default=5,
                low=3,
                high=10,
                optional=True,
                description="Folds of the outer cross-validation.",
            ),
        ),
        outputs=(
            table("held_out_risk.csv", "one row per patient with follow-up, each held out once"),
            table("concordance.csv", "each fold's concordance recomputed from the held-out risks"),
            table("signature.csv", "features exist in the data; folds counted"),
            figure("survival_signature.png"),
            FINDINGS,
        ),
        reference="Penalised Cox (Simon et al. 2011; ridge by default, as Bovelstad et al. 2007 found it best), "
        "proximal gradient on the Breslow likelihood; filter and penalty chosen inside each training fold; "
        "Harrell's concordance with a bootstrap interval.",
        limits="Internal cross-validation; an independent cohort is still needed.",
    ),
)
