"""Reference for lymphoma_rituximab: survival by treatment, and a ridge Cox signature judged on held-out patients."""

from independent import Data
from independent_survival import compare_survival, signature

data = Data("dlbcl_chop")
compare_survival(data, column="treatment")
signature(data, genes=50, ridge=0.5)
