"""Make the comment after a field its description in the API reference, where it has no docstring."""

from typing import Any

from griffe import Attribute, Docstring, Extension


class FieldComments(Extension):
    """Read `name: type  # description` as mkdocstrings reads a docstring below it."""

    def on_attribute_instance(self, *, attr: Attribute, **_: Any) -> None:
        """Describe a field by the comment on its last line."""
        if attr.docstring is None and attr.parent and attr.parent.is_class and attr.endlineno:
            _, mark, comment = attr.lines_collection[attr.filepath][attr.endlineno - 1].partition("  # ")
            if mark:
                attr.docstring = Docstring(comment[0].upper() + comment[1:] + ".", parent=attr)
