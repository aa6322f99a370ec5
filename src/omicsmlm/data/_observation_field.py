"""What fields of the registry have in common that register a property of observations, and not a matrix of named features."""

from typing import Any

from scvi.data.fields import BaseAnnDataField


class ObservationField(BaseAnnDataField):
    """Abstract: a property of the observations; it counts as there even where it is empty, and has no table of its own."""

    @property
    def is_empty(self) -> bool:
        """Never empty: it is registered only where the model uses it."""
        return False

    def view_state_registry(self, state_registry: dict[str, Any]) -> None:
        """No table of its own."""
        return None


class ColumnField(ObservationField):
    """Abstract: columns of ``obs`` of either level, under one key of the registry."""

    key_of_registry: str
    """Key of the field in the registry."""

    @property
    def registry_key(self) -> str:
        """Key of the field in the registry."""
        return self.key_of_registry

    @property
    def attr_name(self) -> str:
        """Attribute that holds the columns."""
        return "obs"

    @property
    def attr_key(self) -> None:
        """Several columns have no one key, and one may be that of a modality."""
        return None
