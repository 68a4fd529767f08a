"""What a finished demo is held against: a batch join, the simulator's truth, and the page's own verdicts."""

from local_stack.summary import Check
from local_stack.verification.join import check_join
from local_stack.verification.learning import check_learning
from local_stack.verification.page_verdicts import check_page

VERIFICATION: tuple[Check, ...] = (check_join, check_learning, check_page)
"""In the order of the summary's table, after its own checks."""
