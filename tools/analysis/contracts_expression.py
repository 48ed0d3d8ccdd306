"""Contracts of the operators about expression, classes and drug response."""

from __future__ import annotations

from labwright.tools.analysis.contract_parts import FINDINGS, figure, group_column, table
from labwright.tools.analysis.contract_types import OperatorContract, Param, Requirement

EXPRESSION_CONTRACTS = (
    OperatorContract(
        name="differential_expression",
        title="Differential expression between two groups",
        answers="Which genes are expressed at different levels between two groups of samples?",
        procedure="Test every gene for a difference in expression between the two groups by a moderated t test or, "
        "for counts, a Wald test; report log2 fold change and false discovery rate.",
        requires=Requirement(
            needs_groups=True,
            needs_matrix=True,
            kinds=("expression_survival", "expression", "rnaseq_counts", "single_cell"),
        ),
        params=(
            group_column("Column that holds the two groups."),
            Param(
                name="reference",
                kind="group_level",
                optional=True,
                description="Level the fold change is measured from.",
            ),
            Param(
                name="test",
                kind="group_level",
                optional=True,
                description="Level whose expression is up when the fold change is positive.",
            ),
            Param(
                name="block_column",
                kind="group_column",
                optional=True,
                description="Column of pairs or blocks (donor, cell line, batch) to adjust for.",
            ),
        ),
        outputs=(
            table("differential_expression.csv", "one row per feature tested; FDR recomputed, 20 rows retested"),
            figure("volcano.png"),
            FINDINGS,
        ),
        reference="Arrays: moderated t (Smyth 2004) on the least-squares fit. Counts: PyDESeq2, Wald test "
        "(Love et al. 2014). Benjamini and Hochberg 1995.",
        limits="Association in this cohort; groups were not randomised unless the data set says so.",
    ),
    OperatorContract(
        name="gene_set_enrichment",
        title="Gene set enrichment of a ranked gene list",
        answers="Which biological processes are over-represented among the genes found by the analysis before?",
        procedure="Test every gene set for a shift of its genes in the ranked list of the analysis before by a "
        "rank-sum test, with false discovery rate.",
        requires=Requirement(
            feature_kind="gene symbol",
            min_features=500,
            needs_table_of=("differential_expression", "prognostic_features"),
        ),
        params=(
            Param(
                name="min_size",
                kind="integer",
                default=15,
                low=5,
                high=50,
                optional=True,
                description="Least number of measured genes in a set.",
            ),
            Param(
                name="max_size",
                kind="integer",
                default=300,
                low=100,
                high=500,
                optional=True,
                description="Greatest number of measured genes in a set.",
            ),
        ),
        outputs=(
            table("gene_set_enrichment.csv", "one row per set; FDR recomputed, 20 sets retested by ranks"),
            figure("gene_set_enrichment.png"),
            FINDINGS,
        ),
        reference="Two-sided rank-sum test of the upstream statistic inside against outside the set "
        "(Mann and Whitney 1947; competitive test as in wilcoxGST of limma); GO Biological Process 2023.",
        limits="Genes are treated as independent, which makes p values too small for correlated sets.",
    ),
    OperatorContract(
        name="cluster_samples",
        title="Unsupervised clusters of samples or cells",
        answers="Which groups of samples or cells emerge from expression alone, and do they match the known labels?",
        procedure="Cluster the samples on principal components of expression, choose the number of clusters by "
        "silhouette, compare the clusters with the known labels by adjusted Rand index, and rank marker "
        "genes of each cluster.",
        requires=Requirement(
            needs_matrix=True,
            min_features=50,
            kinds=("expression", "expression_survival", "single_cell", "rnaseq_counts"),
        ),
        params=(
            Param(
                name="method",
                kind="choice",
                default="kmeans",
                choices=("kmeans", "leiden"),
                optional=True,
                description="k-means on principal components, or Leiden on the neighbour graph.",
            ),
            Param(
                name="clusters",
                kind="integer",
                default=None,
                low=2,
                high=12,
                optional=True,
                description="Number of k-means clusters; left out, the best silhouette of 2 to 10 decides.",
            ),
            Param(
                name="label_column",
                kind="group_column",
                optional=True,
                description="Known labels the clusters are compared with.",
            ),
        ),
        outputs=(
            table("clusters.csv", "one row per sample; sizes and agreement with the labels recomputed"),
            table("cluster_quality.csv", "silhouette and agreement recomputed"),
            table("cluster_markers.csv", "markers exist in the data; sampled rows retested"),
            figure("clusters.png"),
            FINDINGS,
        ),
        reference="PCA; k-means or Leiden (Traag 2019); silhouette (Rousseeuw 1987); adjusted Rand index "
        "(Hubert and Arabie 1985); markers: one-versus-rest rank-sum test.",
        limits="Clusters always come out; silhouette and agreement say how far to trust them. Marker p "
        "values reuse the data that made the clusters.",
    ),
    OperatorContract(
        name="marker_features",
        title="Marker genes of labelled groups",
        answers="Which marker genes distinguish each labelled cell type, tissue or group from all the others?",
        procedure="Compare each labelled group with all others in every gene by a rank-sum test, and rank the "
        "markers by effect and false discovery rate.",
        requires=Requirement(
            needs_groups=True,
            needs_matrix=True,
            kinds=("single_cell", "expression", "expression_survival"),
        ),
        params=(
            group_column("Column of labels."),
            Param(
                name="top",
                kind="integer",
                default=5,
                low=2,
                high=10,
                optional=True,
                description="Markers shown and reported for each level.",
            ),
        ),
        outputs=(
            table("marker_features.csv", "one row per level and feature; FDR recomputed, 20 rows retested"),
            figure("marker_features.png"),
            FINDINGS,
        ),
        reference="One-versus-rest Wilcoxon rank-sum test with tie correction; Benjamini and Hochberg 1995 per level.",
        limits="Ranks levels against the rest together, so a marker of two similar levels can rank low.",
    ),
    OperatorContract(
        name="classify_samples",
        title="Classifier with cross-validation",
        answers="Can expression predict the class of a sample, such as subtype, tissue, receptor status "
        "or relapse, in samples it was not trained on?",
        procedure="Train a logistic regression on expression inside each of repeated cross-validation folds, "
        "predict the held-out samples, and compare the accuracy with that on permuted labels.",
        requires=Requirement(
            needs_groups=True,
            needs_matrix=True,
            min_features=20,
            kinds=("expression", "expression_survival", "single_cell"),
        ),
        params=(
            group_column("Column that holds the classes."),
            Param(
                name="max_features",
                kind="integer",
                default=50,
                low=5,
                high=200,
                optional=True,
                description="Most features kept by the filter inside each fold.",
            ),
            Param(
                name="repeats",
                kind="integer",
                default=5,
                low=2,
                high=10,
                optional=True,
                description="Repeats of the 5-fold cross-validation.",
            ),
        ),
        outputs=(
            table("predictions.csv", "every sample held out once per repeat; probabilities in [0, 1]"),
            table("performance.csv", "scores recomputed from the held-out predictions"),
            figure("classify_samples.png"),
            FINDINGS,
        ),
        reference="L2 logistic regression (scikit-learn), F-test filter and scaling inside each fold, repeated "
        "stratified 5-fold cross-validation, label permutation control (Ojala and Garriga 2010).",
        limits="Internal cross-validation; batch and site effects travel with the labels.",
    ),
    OperatorContract(
        name="drug_association",
        title="Drug response and genomic alterations",
        answers="Which drugs are cell lines with a given mutation sensitive or resistant to, or which "
        "alterations go with the response to a given drug?",
        procedure="Compare the log IC50 of cell lines with and without each alteration by a linear model with "
        "tissue as factor, and report effect and false discovery rate.",
        requires=Requirement(needs_matrix=True, needs_alterations=True, kinds=("drug_response",)),
        params=(
            Param(
                name="alteration",
                kind="alteration",
                optional=True,
                description="Alteration tested against all drugs (leave out when a drug is given).",
            ),
            Param(
                name="drug",
                kind="drug",
                optional=True,
                description="Drug tested against all alterations (leave out when an alteration is given).",
            ),
        ),
        outputs=(
            table("drug_association.csv", "one row per pair tested; FDR recomputed, 20 rows refitted"),
            figure("drug_association.png"),
            FINDINGS,
        ),
        reference="Linear model of log IC50 on the alteration with tissue as factor (the ANOVA of Iorio et al. "
        "2016 without the further covariates); Benjamini and Hochberg 1995.",
        limits="Cell lines, not patients; co-occurring alterations are not separated.",
    ),
)
