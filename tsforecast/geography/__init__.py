"""Places on the globe: checked coordinates, neighbours, clusters, twins, and the panel as a field of values."""

from tsforecast.geography.fields import Field, field, filled, persistence
from tsforecast.geography.kmeans import Clusters, clusters
from tsforecast.geography.neighbours import Neighbours, locations, nearest, nearest_to
from tsforecast.geography.places import Places, places_of
from tsforecast.geography.sectors import DOUBT, SECTORS, Sectors, sector_means, sectors
from tsforecast.geography.sphere import EARTH_KM, distance, kilometres, unit_vectors

__all__ = [
    "DOUBT",
    "EARTH_KM",
    "SECTORS",
    "Clusters",
    "Field",
    "Neighbours",
    "Places",
    "Sectors",
    "clusters",
    "distance",
    "field",
    "filled",
    "kilometres",
    "locations",
    "nearest",
    "nearest_to",
    "persistence",
    "places_of",
    "sector_means",
    "sectors",
    "unit_vectors",
]
