"""E2E's NIST: mteval-v13a."""

from dsee_bench.metrics import Measured, References, Texts, metric
from dsee_bench.metrics.nlg.mteval import count, nist_of, why_zero


@metric("NIST-5", "tok:13a", "case:lower", "pad:none", "as:mteval-v13a", kind="generation", unit="0 and up")
def nist(predictions: Texts, references: References) -> Measured:
    """NIST (Doddington 2002) of 13a tokens in lower case, orders 1 to 5."""
    sums = count(predictions, references)
    return Measured(nist_of(sums), why_zero(sums))
