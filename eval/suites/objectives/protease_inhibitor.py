"""Reference for protease_inhibitor: the two arms, their curves, and an adjusted model."""

from independent import Data, describe
from independent_survival import compare_survival, model_survival

data = Data("actg320")
describe(data, "indinavir")
compare_survival(data, column="indinavir")
model_survival(data, ["indinavir", "cd4", "karnofsky", "age", "sex"])
