"""Accuracy of predictions on FER2013's PublicTest (folders named by the label)."""
import sys

import pandas as pd

for path in sys.argv[1:]:
    table = pd.read_parquet(path).set_index("name")
    label = table.index.str.split("/").str[0]
    guess = table.idxmax(axis=1).str.removeprefix("prob_")
    hit = pd.Series(guess.to_numpy() == label.to_numpy())
    recall = hit.groupby(label.to_numpy()).mean()
    print(f"{path}: n {len(hit)}, accuracy {hit.mean():.3f}, balanced {recall.mean():.3f};",
          ", ".join(f"{k} {v:.2f}" for k, v in recall.items()))
