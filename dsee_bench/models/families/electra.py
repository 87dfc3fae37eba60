"""ELECTRA (Clark et al. 2020): BERT's layers without pooler, over embeddings that may be narrower than they are."""

from dataclasses import dataclass

from dsee_bench.models.families.bert import Bert
from dsee_bench.models.spec import LinearSpec, Site, dense


@dataclass(frozen=True)
class Electra(Bert):
    """ELECTRA's discriminator."""

    model_types = ("electra",)
    names = {**Bert.names, "embedding": "embedding_size"}
    layer = "electra.encoder.layer.{}"
    first_position = 0

    def weights(self) -> list[LinearSpec]:
        if self.embedding in (None, self.hidden):
            return super().weights()
        site = Site("electra.embeddings_project", "projection", None)
        return [dense(site, self.hidden, self.embedding), *super().weights()]
