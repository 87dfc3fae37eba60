"""What `export=DIR` does with a run's final model, in the form that the settings ask for."""

from pathlib import Path

from dsee_bench.deploy.card import LICENSES, About, license_of
from dsee_bench.deploy.export import export, outputs_of
from dsee_bench.deploy.manifest import Manifest
from dsee_bench.deploy.peft_form import Base
from dsee_bench.models.load import card_of, published
from dsee_bench.monitoring.console import info
from dsee_bench.plan import Settings
from dsee_bench.record import Record
from dsee_bench.stages.stage import RunState


def export_as_asked(settings: Settings, state: RunState, record: Record, command: str) -> None:
    """Write the final model into the folder of `export`, if one is given, with a card that tells of its run."""
    folder = settings.launch.export
    if folder is None:
        return
    base = _base(settings, state)
    license = license_of(card_of(settings.backbone)) or LICENSES.get(str(base.hub))
    about = About(record, settings.source.line(), command, license)
    written = write(settings, state, folder, base, onnx=settings.launch.export_onnx, about=about)
    size = sum(file["bytes"] for file in written.files.values()) / 1e6
    info(f"  exported to {folder}: adapter {written.adapter}, {written.storage}, {size:.1f} MB with the tokenizer")


def _base(settings: Settings, state: RunState) -> Base:
    hub, revision = published(settings.backbone) or (None, None)
    return Base(settings.backbone.name, hub, revision, state.fresh)


def write(
    settings: Settings, state: RunState, folder: Path, base: Base, *, onnx: bool, about: About | None = None
) -> Manifest:
    """Write the final model into `folder` in the form that the settings ask for; return what was written."""
    launch = settings.launch
    return export(
        state.model,
        state.adapters,
        state.spec,
        settings.backbone.spec(settings.labels),
        state.setup.tokenizer,
        outputs_of(state.setup),
        folder,
        base=base,
        folding=launch.export_adapter,
        storage=launch.export_storage,
        force=launch.force,
        run_id=settings.run_id,
        onnx=onnx,
        quantize=onnx and launch.export_quantize is not None,
        about=about,
    )
