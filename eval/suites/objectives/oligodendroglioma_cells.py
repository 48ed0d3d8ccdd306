"""Reference for oligodendroglioma_cells: markers of the cell types, and clusters without labels."""

from independent import Data
from independent_groups import cluster, markers

data = Data("oligodendroglioma")
markers(data, "cell_type")
cluster(data, "cell_type")
