"""Gradient checkpointing for the families in which transformers lacks it: MPNet and ALBERT.

transformers checkpoints the layers of a class of its own, which these two do not use. The layers get subclasses of it.
"""

from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.albert.modeling_albert import AlbertLayer
from transformers.models.mpnet.modeling_mpnet import MPNetLayer


class CheckpointedMPNetLayer(MPNetLayer, GradientCheckpointingLayer):
    """MPNet's layer, which transformers can checkpoint."""

    forward = MPNetLayer.forward


class CheckpointedAlbertLayer(AlbertLayer, GradientCheckpointingLayer):
    """ALBERT's."""

    forward = AlbertLayer.forward


CLASSES: dict[type, type[GradientCheckpointingLayer]] = {
    MPNetLayer: CheckpointedMPNetLayer,
    AlbertLayer: CheckpointedAlbertLayer,
}


def make_checkpointable(model: PreTrainedModel) -> None:
    """Let transformers' activation_checkpointing_enable work on the model, in place."""
    for module in model.modules():
        if type(module) in CLASSES:
            module.__class__ = CLASSES[type(module)]
            model.supports_gradient_checkpointing = True
