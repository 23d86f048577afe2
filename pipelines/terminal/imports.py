"""What `testruns import` says: a line for each file that was not taken, and the sum."""

from collections import Counter
from collections.abc import Sequence

from pipelines.warehouse.report_ledger import ImportedFile

_WORDS = {
    "loaded": "loaded",
    "replaced": "replaced by a richer file",
    "known": "known already",
    "poorer": "poorer than what is held",
    "rejected": "set aside",
}


def file_line(file: ImportedFile) -> str:
    """What became of a file: why it was not taken, or its run."""
    result = file.reason or f"{file.outcome}, run {file.run_id}"
    return f"{printable(file.path)}: {printable(result)}"


def summary_line(files: Sequence[ImportedFile], rows: dict[str, int], *, is_dry_run: bool) -> str:
    """How many files came to what, and the rows written."""
    counts = Counter(file.outcome for file in files)
    parts = [f"{counts[outcome]:,} {words}" for outcome, words in _WORDS.items() if counts[outcome]]
    written = f"; {sum(rows.values()):,} rows" if rows else ""
    dry = " (dry run: nothing was written)" if is_dry_run else ""
    offered = "1 file" if len(files) == 1 else f"{len(files):,} files"
    return f"{offered}: {', '.join(parts) or 'none offered'}{written}{dry}"


def printable(text: str) -> str:
    """The text with control characters made visible: names of files may hold any."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
