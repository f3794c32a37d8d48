"""The names by which the report knows what the claim is about."""

STANDARD = "standard"  # the variant before patching
PATCHED = "fig"  # the variant that the claim is about
COMMON = "baseline"  # the detector under which variants are compared
COMPARABLE = ("", "id-only")  # protocols: of a detector without settings, or with those that ID images alone choose
