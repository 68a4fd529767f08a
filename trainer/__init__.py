"""Learns from the `samples` topic and publishes model bundles.

driver.py        one process: starts Ray and a rank group, decides when a day is due and when to publish
rank.py          one actor per rank: its partitions, and a model per chain
chain_model.py   one chain's model on one rank: sharded network, id tables, touched rows
sharded.py       TorchRec's DistributedModelParallel and where its numbers are
days.py, seen_rows.py, sample_index.py, packing.py   pure decisions and bookkeeping
checkpoint.py    files that survive kill -9;  publisher.py  bundles and their announcement
"""
