"""Reference for infarction_prognosis: the cohort, survival with heart failure, and an adjusted model."""

from independent import Data, describe
from independent_survival import compare_survival, model_survival

data = Data("whas500")
describe(data)
compare_survival(data, column="heart_failure")
model_survival(data, ["age", "heart_failure", "heart_rate", "diastolic_pressure", "bmi", "sex"])
