"""Published figures beside those that are counted while programs run on the emulated chip."""

from lpu_backend.validation.model_rows import ModelRow, list_model_rows, read_published
from lpu_backend.validation.published import PUBLISHED, Published
from lpu_backend.validation.recording import MeasurementError
from lpu_backend.validation.rows import Row, differs, validate

__all__ = [
    "PUBLISHED",
    "MeasurementError",
    "ModelRow",
    "Published",
    "Row",
    "differs",
    "list_model_rows",
    "read_published",
    "validate",
]
