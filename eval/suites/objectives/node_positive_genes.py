"""Reference for node_positive_genes: one Cox model a gene, the best one split at its median and adjusted."""

from independent import Data
from independent_survival import compare_survival, each_gene, model_survival

data = Data("nki70")
each_gene(data)
compare_survival(data, feature="PRC1")
model_survival(data, ["diameter", "nodes", "grade", "er"], feature="PRC1")
