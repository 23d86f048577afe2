"""What an XML document is by its root element: a JUnit report, or which other kind."""

from pipelines.sources.reports.report import ReportError

_ROOTS = frozenset({"testsuites", "testsuite", "testrun"})
FOREIGN_ROOTS = {
    "result": "Jenkins' own junitResult.xml",
    "test-run": "NUnit 3",
    "test-results": "NUnit 2",
    "TestRun": "Visual Studio's TRX",
    "assemblies": "xUnit.net",
    "testng-results": "TestNG",
    "coverage": "code coverage",
    "report": "code coverage",
    "checkstyle": "Checkstyle",
    "html": "an HTML page",
}


def check_root(name: str) -> None:
    """Raises ReportError with the kind of a document that is no JUnit report."""
    if name not in _ROOTS:
        kind = FOREIGN_ROOTS.get(name, f"its root is {name[:80]!r}")
        raise ReportError(f"XML, but no JUnit report: {kind}", is_foreign=True)
