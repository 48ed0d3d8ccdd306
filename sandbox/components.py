"""The CycloneDX document of an image's parts.

The only module that uses `cyclonedx-python-lib`, and slow to import for that reason. The document holds no time
and no random number: the same parts give the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from labwright.sandbox.image import REPOSITORY, ImageInfo

LONGEST_NAME = 100
NAME_SPACE = "labwright:"


def document(facts: Mapping[str, Any], image: ImageInfo, *, version: str, pinned: Mapping[str, str]) -> str:
    """The document as JSON text of CycloneDX 1.6.

    Args:
        facts: what `sbom_script.py` wrote, and under "recipe" the digest of what made the document.
        image: the image that it ran in.
        version: version of labwright.
        pinned: version of each distribution that the lock names, by normalised name.
    """
    told = json.loads(JsonV1Dot6(_bom(facts, image, version=version, pinned=pinned)).output_as_string())
    told["components"].sort(key=lambda part: part["bom-ref"])
    # Beside what changes with every call goes the graph: it would say that no part depends on another.
    for key in ("serialNumber", "dependencies"):
        told.pop(key, None)
    told["metadata"].pop("timestamp", None)
    return json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _bom(facts: Mapping[str, Any], image: ImageInfo, *, version: str, pinned: Mapping[str, str]) -> Bom:
    bom = Bom()
    bom.metadata.component = Component(
        name=REPOSITORY,
        version=image.tag.rpartition(":")[2],
        type=ComponentType.CONTAINER,
        bom_ref=image.id,
        properties=_properties({"base": image.base, "machine": facts["machine"], "recipe": facts["recipe"]}),
    )
    parts = [_distribution(found, pinned) for found in facts["distributions"]]
    parts += [_interpreter(facts["interpreter"]), _own_part(facts["labwright"], version)]
    parts += [_library(found) for found in facts["libraries"]]
    bom.components.update(parts)
    bom.register_dependency(bom.metadata.component, parts)
    return bom


def normalised(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licences(expression: str, licence: str, classifiers: Iterable[str]) -> list[License]:
    """What a distribution declares, the most exact word first: an SPDX expression, an SPDX id, classifiers, a text."""
    factory, declared = LicenseFactory(), LicenseAcknowledgement.DECLARED
    line = licence.strip().split("\n")[0].strip()
    short = line if line == licence.strip() and len(line) <= LONGEST_NAME else ""
    for word in filter(None, (expression.strip(), short)):
        found = factory.make_from_string(word, license_acknowledgement=declared)
        if not isinstance(found, DisjunctiveLicense) or found.id:
            return [found]
    names = [c.rpartition(" :: ")[2] for c in classifiers if c != "License :: OSI Approved"]
    if not names and line.upper() != "UNKNOWN":
        names = [line[:LONGEST_NAME]]
    return [DisjunctiveLicense(name=name, acknowledgement=declared) for name in sorted(set(filter(None, names)))]


def _distribution(found: Mapping[str, Any], pinned: Mapping[str, str]) -> Component:
    name = normalised(found["name"])
    purl = PackageURL("pypi", None, name, found["version"])
    said = {
        # The digest is of the RECORD, which holds one for each file; these say that the files are those.
        "hash-of": "RECORD" if found["record_sha256"] else "",
        "files": str(found["files"]),
        "files-differing": str(found["differing"]),
        "pinned-in": "requirements.txt" if pinned.get(name) == found["version"] else "",
    }
    return Component(
        name=found["name"],
        version=found["version"],
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        hashes=_hashes(found["record_sha256"]),
        licenses=licences(found["expression"], found["licence"], found["classifiers"]),
        properties=_properties(said),
    )


def _interpreter(found: Mapping[str, Any]) -> Component:
    purl = PackageURL("generic", None, found["name"], found["version"])
    return Component(
        name=found["name"],
        version=found["version"],
        type=ComponentType.APPLICATION,
        bom_ref=purl.to_string(),
        purl=purl,
        hashes=_hashes(found["sha256"]),
        properties=_properties({"path": found["path"]}),
    )


def _own_part(found: Mapping[str, Any], version: str) -> Component:
    """Without a package URL: it is copied in, not installed from an index."""
    return Component(
        name="labwright",
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"labwright@{version}",
        hashes=_hashes(found["sha256"]),
        properties=_properties({"path": found["path"], "files": str(found["files"]), "hash-of": "list of sha256sum"}),
    )


def _library(found: Mapping[str, Any]) -> Component:
    path = found["path"]
    return Component(
        name=path.rpartition("/")[2],
        type=ComponentType.FILE,
        bom_ref=path,
        hashes=_hashes(found["sha256"]),
        properties=_properties({"path": path}),
    )


def _hashes(sha256: str) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else []


def _properties(values: Mapping[str, str]) -> list[Property]:
    return [Property(name=NAME_SPACE + name, value=value) for name, value in values.items() if value]
