"""Changes of test errors from stored tables of runs, for pairs of seeds that were run on different machines.

python docs/results/paired.py RUNS.csv[,MORE.csv] DATA HEAD [AGAINST]

The runs have the same settings; both of a pair stand in one table. Of several rows of a run (last_epoch.csv) the last
one counts, which has its last epoch. Prints how many pairs there are and, for forces, energies and stresses, the mean
change in percent with the 95 % t interval of the paired logarithms, as reports do (docs/report.md).
"""

import csv
import sys

import numpy as np

from scalarpath.core.quantities import PRIMARY_FIRST
from scalarpath.report.effects import shown_change
from scalarpath.report.paired_tests import t_test

tables, data, head, against = (*sys.argv[1:], "baseline")[:4]
pairs = []
for table in tables.split(","):
    with open(table, encoding="utf-8", newline="") as file:
        runs = {(row["head"], row["seed"]): row for row in csv.DictReader(file) if row["data"] == data}
    seeds = [seed for name, seed in runs if name == head and (against, seed) in runs]
    pairs += [(runs[head, seed], runs[against, seed]) for seed in seeds]
print(f"{data}: {head} against {against}, {len(pairs)} pairs")
for quantity in PRIMARY_FIRST:
    key = f"test/{quantity.name}_mae_{quantity.unit_in_names}"
    logarithms = np.array([np.log(float(one[key]) / float(other[key])) for one, other in pairs])
    print(f"{quantity.name}: {shown_change(*t_test([logarithms])[:3])}")
