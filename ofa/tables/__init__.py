"""Latency tables: what each block takes on one device, and so what any sub-network takes."""

from ofa.tables.lookup import Coverage, LatencyLookup
from ofa.tables.row import TableRow
from ofa.tables.shipped import find_table
from ofa.tables.table import LatencyTable

__all__ = ["Coverage", "LatencyLookup", "LatencyTable", "TableRow", "find_table"]
