"""One rank's part of a bundle."""

from typing import Any

import torch

from springtide.contracts.bundle import Kind
from trainer.chain_model import ChainModel
from trainer.messages import Export


def export_part(model: ChainModel, kind: Kind, *, first: bool) -> Export:
    """Return what this rank adds to a bundle, and begin a new delta; every rank calls it together.

    Args:
        model: of the chain.
        kind: all rows of a table for a base, those touched since the last bundle for a delta.
        first: this is rank 0, which adds what is equal on every rank.
    """
    touched = model.take_touched()
    tables = {}
    for table in model.network.owned:
        rows = touched[table] if kind == "delta" else torch.arange(model.config.capacities[table])
        tables[table] = (rows.numpy(), model.network.rows(table, rows).numpy())
    ids: dict[str, dict[str, Any]] = {}
    for table, entries in model.ids.items():
        journal = entries.take_journal()
        ids[table] = journal.to_arrays() if kind == "delta" else entries.known().to_arrays("known")
    dense = {name: tensor.numpy() for name, tensor in model.network.dense().items()} if first else {}
    return Export(tables=tables, dense=dense, ids=ids if first else {})
