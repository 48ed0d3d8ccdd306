"""Reference for er_status_breast: moderated t tests by receptor status, and the processes of the genes."""

from independent import Data
from independent_expression import compare_arrays, enrich

data = Data("gse4335")
compare_arrays(data, "er", "negative", "positive")
enrich(data, "differential_expression")
