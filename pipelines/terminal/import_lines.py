"""What `testruns import` says: a line for each file that was not taken, and the sum."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.warehouse.report_ledger import ImportedFile

_WORDS = {
    "loaded": "loaded",
    "replaced": "replaced by a richer file",
    "known": "known already",
    "poorer": "poorer than what is held",
    "rejected": "set aside",
}


def file_line(file: "ImportedFile") -> str:
    """What became of a file: why it was not taken, or its run."""
    result = file.reason or f"{file.outcome}, run {file.run_id}"
    return f"{printable(file.path)}: {printable(result)}"


def summary_line(files: Sequence["ImportedFile"], rows: dict[str, int], *, is_dry_run: bool) -> str:
    """How many files came to what, and the rows written."""
    written = f"; {sum(rows.values()):,} rows" if rows else ""
    dry = " (dry run: nothing was written)" if is_dry_run else ""
    return f"{outcomes_line(Counter(file.outcome for file in files))}{written}{dry}"


def outcomes_line(counts: Mapping[str, int]) -> str:
    """How many files came to what."""
    total = sum(counts.values())
    parts = [
        f"{counts[outcome]:,} {words}" for outcome, words in _WORDS.items() if counts.get(outcome)
    ]
    offered = "1 file" if total == 1 else f"{total:,} files"
    return f"{offered}: {', '.join(parts) or 'none offered'}"


def printable(text: str) -> str:
    """The text with control characters made visible: names of files may hold any."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
