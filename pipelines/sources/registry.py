"""The sources that there are. All that else depends on which they are follows from here."""

from collections.abc import Mapping
from types import MappingProxyType

from pipelines.sources import postman, testmo
from pipelines.sources.spec import SourceName, SourceSpec

# By name, in the order in which they are loaded.
REGISTRY: Mapping[SourceName, SourceSpec] = MappingProxyType(
    {spec.name: spec for spec in (postman.SPEC, testmo.SPEC)}
)
SOURCES = tuple(REGISTRY)
