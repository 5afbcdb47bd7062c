"""Tables as dicts of columns, on top of argyle_sample_numeric."""

import argyle_sample_numeric as numeric
from argyle_sample_cost import spend
from argyle_sample_slug import slug

import_ms, import_mb = spend("frame", ms=60, mb=12)


class Frame:
    """Columns of equal length by name; names become slugs."""

    def __init__(self, columns):
        self.columns = {slug(name): list(values) for name, values in columns.items()}
        if len({len(values) for values in self.columns.values()}) > 1:
            raise ValueError("columns differ in length")

    def describe(self):
        """Mean, least and greatest value of each column."""
        return {
            name: {"mean": numeric.mean(values), "min": min(values), "max": max(values)}
            for name, values in self.columns.items()
        }

    def group_by(self, key):
        """Means of the other columns for each value of column `key`."""
        rows = {}
        for index, value in enumerate(self.columns[key]):
            rows.setdefault(value, []).append(index)
        return {
            value: {
                name: numeric.mean([values[index] for index in indexes])
                for name, values in self.columns.items()
                if name != key
            }
            for value, indexes in rows.items()
        }
