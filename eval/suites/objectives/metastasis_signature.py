"""Reference for metastasis_signature: held-out signature, single probes, and the clinical factors."""

from independent import Data
from independent_survival import each_gene, model_survival, signature

data = Data("gse7390")
signature(data, genes=50, ridge=0.5)
each_gene(data)
model_survival(data, ["age", "size", "grade", "er"])
