"""Reference for cirrhosis_prognosis: the drug against placebo, and the five variables of Dickson et al. 1989."""

from independent import Data
from independent_survival import compare_survival, model_survival

data = Data("pbc")
compare_survival(data, column="treatment")
model_survival(data, ["bilirubin", "albumin", "age", "prothrombin_time", "edema"])
