"""Serving: a gateway answers slate requests; one Ray actor per experiment arm ranks them with the newest model.

gateway/     HTTP, arms, batching, the log of exposures, fallbacks: no torch, no Feast
ranking/     candidates, policy, ranking: pure
actor.py     one arm's process: catalogue, feature mirror, model; features_mirror.py and model_swap.py beside it
cluster.py   the Ray that actors live in
"""
