"""A `testsuite` of a JUnit report, while it is open."""

from dataclasses import dataclass, field


@dataclass
class Suite:
    """An open `testsuite`, or the root; `cases` counts those inside it, `children` its own."""

    attributes: dict[str, str]
    cases: int = 0
    children: int = 0
    errors: int = 0
    system_err: list[str] = field(default_factory=list)

    @property
    def surplus(self) -> int:
        """By how much its `tests` exceeds its cases; node counts its own cases and suites only."""
        tests = self.announced("tests")
        return 0 if tests is None or tests == self.children else tests - self.cases

    def announced(self, *names: str) -> int | None:
        """The sum of counts that it announces; None where the first is no number."""
        counts = [self.attributes.get(name, "") for name in names]
        numbers = [
            int(count) if count.isdecimal() and len(count) < 10 else None for count in counts
        ]
        return None if numbers[0] is None else sum(number or 0 for number in numbers)
