"""Reference for mdm2_inhibition: the response to Nutlin-3a by every alteration, and the panel of cell lines."""

from independent import Data, describe
from independent_expression import drugs

data = Data("gdsc17")
drugs(data, drug="Nutlin-3a (drug 1047)")
describe(data)
