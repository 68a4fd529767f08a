"""A user's behaviours as one vector for all tasks: property-gated LSTM and attention (DUPN, Ni et al. 2018).

A behaviour t is a pair of an item e_t and a property p_t, here what was done to it. The property opens and closes the
gates, but has no part in the content: it says how much a behaviour tells, not what.

    i_t, f_t, o_t = sigmoid(W_e e_t + W_p p_t + W_h h_{t-1} + b)        for each gate its own weights
    c_t = f_t * c_{t-1} + i_t * tanh(W_e e_t + W_h h_{t-1} + b)         without p_t
    h_t = o_t * tanh(c_t)

What asks is the request and its user, q (here the vectors of user, device and country; a shop's search query would
stand beside them):

    a_t = softmax over t of  w . tanh(W_a [q, p_t, h_t] + b_a)          0 where padded
    u   = sum_t a_t h_t                                                 0 for a user who did nothing

Nothing here knows the candidate, so that u is made once per request. Shapes: B users (rows when learning, requests when
serving), L steps, D embedding width, Q width of q, U units.
"""

import torch
from torch import Tensor, nn

from springtide.model.config import ModelConfig
from springtide.model.inputs import BEHAVIOUR_CODES
from springtide.model.sequence import Behaviours

ASKING = ("user_id", "device", "country")
"""Features whose vectors, side by side, are q."""

_NEVER = -1e9
"""Score of a padded step: its share is 0, and still finite where all are padded."""


class PropertyGatedLSTM(nn.Module):
    """Items (B, L, D) and properties (B, L, D) to hidden vectors (B, L, U).

    An LSTM of [e_t, p_t] in which the weights from p_t to the content are 0, and so one call for all steps.
    """

    def __init__(self, dim: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.item = nn.Linear(dim, 4 * units)  # i, f, content, o: torch's order
        self.property = nn.Linear(dim, 3 * units, bias=False)  # i, f, o
        self.hidden = nn.Linear(units, 4 * units, bias=False)

    def forward(self, items_BLD: Tensor, properties_BLD: Tensor) -> Tensor:
        """Return h_t for every step."""
        in_forget, out = torch.split(self.property.weight, [2 * self.units, self.units])
        property_XD = torch.cat([in_forget, torch.zeros_like(out), out])
        inputs_BLI = torch.cat([items_BLD, properties_BLD], dim=2)
        weights_XI = torch.cat([self.item.weight, property_XD], dim=1)
        first_1BU = items_BLD.new_zeros(1, len(items_BLD), self.units)
        hidden_BLU, _, _ = torch.lstm(
            inputs_BLI, [first_1BU, first_1BU],
            [weights_XI, self.hidden.weight, self.item.bias, torch.zeros_like(self.item.bias)],
            has_biases=True, num_layers=1, dropout=0.0, train=self.training, bidirectional=False, batch_first=True,
        )  # fmt: skip
        return hidden_BLU


class UserEncoder(nn.Module):
    """Who asks (B, Q) and what he did (B, L) to one vector for all tasks, (B, U)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, units = config.embedding_dim, config.sequence_units
        self.property = nn.Embedding(1 + len(BEHAVIOUR_CODES), dim)
        self.lstm = PropertyGatedLSTM(dim, units)
        self.attention = nn.Linear((len(ASKING) + 1) * dim + units, units)
        self.score = nn.Linear(units, 1, bias=False)

    def shares(self, asking_BQ: Tensor, properties_BLD: Tensor, hidden_BLU: Tensor, told_BL: Tensor) -> Tensor:
        """Return the attention a_t, (B, L), adding up to 1 over the steps that are told, or all 0."""
        asking_BLQ = asking_BQ.unsqueeze(1).expand(-1, hidden_BLU.shape[1], -1)
        keys_BLU = self.attention(torch.cat([asking_BLQ, properties_BLD, hidden_BLU], dim=2)).tanh()
        scores_BL: Tensor = self.score(keys_BLU).squeeze(2).masked_fill(~told_BL, _NEVER)
        return scores_BL.softmax(dim=1) * told_BL

    def forward(self, asking_BQ: Tensor, behaviours: Behaviours) -> Tensor:
        """Return u."""
        properties_BLD = self.property(behaviours.codes_BL)
        hidden_BLU = self.lstm(behaviours.vectors_BLD, properties_BLD)
        shares_BL = self.shares(asking_BQ, properties_BLD, hidden_BLU, behaviours.codes_BL > 0)
        return torch.bmm(shares_BL.unsqueeze(1), hidden_BLU).squeeze(1)
