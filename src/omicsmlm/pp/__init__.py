"""What is done to data before any model sees them."""

from omicsmlm.pp._regions import map_regions

__all__ = ["map_regions"]
