"""What the judged engines ran on, as a component list in CycloneDX."""

from __future__ import annotations

from collections.abc import Sequence

from hardedge.contracts import Report
from hardedge.cyclonedx_json import as_json, own_properties, sha256_hash


def runtime_components(reports: Sequence[Report]) -> str:
    """Each report's machine, engines and runtimes as CycloneDX JSON; versions are those that the reports state."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType

    model = Component(type=ComponentType.MACHINE_LEARNING_MODEL, name=reports[0].network.name, bom_ref="model")
    found: dict[str, Component] = {}
    for report in reports:
        ref = f"machine:{report.digest[:12]}"
        found[ref] = Component(
            type=ComponentType.DEVICE,
            name=report.machine.get("cpu", "machine"),
            bom_ref=ref,
            properties=own_properties(**{key.replace(" ", "-"): value for key, value in report.machine.items()}),
        )
        for engine in report.engines:
            runtime = f"runtime:{engine.builder}:{engine.builder_version}"
            found[runtime] = Component(
                type=ComponentType.LIBRARY, name=engine.builder, version=engine.builder_version, bom_ref=runtime
            )
            found[f"engine:{engine.sha256}"] = Component(
                type=ComponentType.FILE,
                name=f"{engine.target} {engine.precision}",
                bom_ref=f"engine:{engine.sha256}",
                hashes=[sha256_hash(engine.sha256)],
                properties=own_properties(origin=engine.origin or "", not_run=engine.not_run or ""),
            )
    bom = Bom(components=list(found.values()), metadata=BomMetaData(component=model))
    bom.register_dependency(model, list(found.values()))
    return as_json(bom)
