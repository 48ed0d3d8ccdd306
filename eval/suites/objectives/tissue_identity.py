"""Reference for tissue_identity: a classifier, clusters without labels, and markers of the tissues."""

from independent import Data
from independent_groups import classify, cluster, markers

data = Data("tissue_expression")
classify(data, "tissue")
cluster(data, "tissue")
markers(data, "tissue")
