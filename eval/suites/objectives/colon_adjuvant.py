"""Reference for colon_adjuvant: the three arms, pairwise log-rank tests, and an adjusted model."""

from independent import Data, describe
from independent_survival import compare_survival, model_survival

data = Data("colon")
describe(data, "treatment")
compare_survival(data, column="treatment")
model_survival(data, ["treatment", "more_than_four_nodes", "extent", "differentiation", "obstruction", "age"])
