"""The model: features in, probability of click, cart and purchase per impression out. One code for trainer and serving.

    inputs.py         slates or samples -> RawColumns (numpy, raw ids)
    id_table.py       raw id -> row, with admission, expiry and a journal (trainer); id_map.py, read only (serving)
    id_words.py       raw ids of any type as words;  id_index.py  words -> entry;  id_ledger.py  counts and times
    id_rows.py        ids with their rows, and the journal of a delta, as arrays
    batch.py          RawColumns + rows + labels + weights -> Batch, the one tensor form from topic to loss
    targets.py        samples -> labels, maturity, sampling weights;  delayed/  what late labels teach
    embeddings.py     TorchRec tables;  dense_network.py  all above them;  network.py both, for DMP
    sequence.py       a user's last behaviours one by one;  dupn.py  one vector of them, made once per request
    auxiliary/        DeepMCP's nets, which teach the embeddings and are not served
    backbones/        what heads share, a file per idea;  parallel_layers.py  many small networks as one product
    behaviour_graph.py  heads as data and the paths derived from them;  graph.py  their product in log space
    level.py          a shift of each task's log-odds that follows its base rate
    presets.py        published systems by name;  graph_picture.py  a graph as SVG;  expert_report.py  use of experts
    loss.py           masked weighted log loss over log probabilities
    bundle.py         bundles on disk: write_bundle, read_bundle, start_state, apply_delta;  state.py  ModelState
    scorer.py         ModelState -> probabilities, no TorchRec;  golden.py  scores that prove a load right
    fusion.py         probabilities -> one score

Only embeddings.py, batch.py's `Batch` and network.py import TorchRec (several seconds); serving needs none of them.
Rows are given by feature, not by table (`rows_by_feature`), because features item_id and history share a table.
"""
