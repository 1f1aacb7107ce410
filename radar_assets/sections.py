"""The base of the sections of `radar.yaml`.

A layer declares its section in `<layer>/config.py`; the root's `config.py` composes them.
"""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration: one field, named like its key in the file.

    Validators share what later sections refer to through the validation context. They may add keys to it; it is absent if the section
    doesn't come from a file. If the items are stored by `radar apply`, the field is annotated with `store.declared.StoredAs`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)
