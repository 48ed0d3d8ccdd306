"""Reference for braf_sensitivity: every compound by BRAF mutation, and the panel of cell lines."""

from independent import Data, describe
from independent_expression import drugs

data = Data("gdsc17")
drugs(data, alteration="BRAF_mut")
describe(data)
