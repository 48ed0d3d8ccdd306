"""Reference for dexamethasone_airway: negative binomial regression within donors, and the processes of the genes."""

from independent import Data
from independent_expression import compare_counts, enrich

data = Data("airway")
compare_counts(data, "dex", ("untreated", "treated"), "cell")
enrich(data, "differential_expression")
