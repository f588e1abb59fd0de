"""Gives a bundle's folder the stages of its denoiser."""

import hashlib
from dataclasses import replace
from pathlib import Path

from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import FileEntry
from fewstep.export.bundle import manifest_json
from fewstep.export.staging.stage_files import add_stages


def add_stages_to(folder: Path) -> Path:
    bundle = Bundle.open(folder)
    component, files = add_stages(bundle.manifest.components["denoiser"], bundle.session_inputs("denoiser")[0])
    entries = {name: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()}
    manifest = replace(bundle.manifest, components={"denoiser": component}, files={**bundle.manifest.files, **entries})
    for name, data in {**files, "bundle.json": manifest_json(manifest)}.items():
        (folder / name).write_bytes(data)
    return folder
