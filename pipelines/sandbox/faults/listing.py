"""The list as no documentation promises it: its order, its pages, its cursors."""

from collections.abc import Callable

from pipelines.sandbox.faults.fault import (
    LISTS,
    POSTMAN_LISTS,
    TESTMO_LISTS,
    Exchange,
    Fault,
    Strike,
    description_of,
    name_of,
)
from pipelines.sandbox.wire import Answer, Json, ListOrder, decode, encode

FAULTS: list[Fault] = []

RequestChange = Callable[[Exchange], None]
PageChange = Callable[[Json, dict[str, str]], None]

_SMALL_PAGE = {"postman": ("limit", "10"), "testmo": ("per_page", "15")}


def _before_answer(where: str) -> Callable[[RequestChange], RequestChange]:
    """A fault that has the list requested otherwise than it was."""

    def add(change: RequestChange) -> RequestChange:
        def strike(exchange: Exchange, _strike: Strike) -> None:
            change(exchange)

        FAULTS.append(
            Fault(name_of(change), description_of(change), where, strike, before_answer=True)
        )
        return change

    return add


def _in_page(where: str) -> Callable[[PageChange], PageChange]:
    """A fault in what a page says of itself; it gets the page and the query."""

    def add(change: PageChange) -> PageChange:
        def strike(exchange: Exchange, _strike: Strike) -> None:
            if exchange.answer.status == 200:
                page = decode(exchange.answer.body)
                change(page, exchange.query)
                exchange.answer = exchange.answer._replace(body=encode(page))

        FAULTS.append(Fault(name_of(change), description_of(change), where, strike))
        return change

    return add


@_before_answer(LISTS)
def newest_first(exchange: Exchange) -> None:
    """The list stands newest first, whatever was requested."""
    exchange.order = ListOrder.NEWEST_FIRST


@_before_answer(LISTS)
def oldest_first(exchange: Exchange) -> None:
    """The list stands oldest first, whatever was requested."""
    exchange.order = ListOrder.OLDEST_FIRST


@_before_answer(LISTS)
def no_order(exchange: Exchange) -> None:
    """The list stands in no order, the same at every request."""
    exchange.order = ListOrder.NONE


@_before_answer(LISTS)
def small_pages(exchange: Exchange) -> None:
    """A page holds no more than 10 runs (Testmo: 15), however many were requested."""
    name, size = _SMALL_PAGE[exchange.api.name]
    exchange.query[name] = size


@_before_answer(POSTMAN_LISTS)
def cursor_expired(exchange: Exchange) -> None:
    """Cursors are refused as expired, with 400."""
    if "cursor" in exchange.query:
        exchange.query["cursor"] = "expired"


@_in_page(POSTMAN_LISTS)
def cursor_repeats(page: Json, query: dict[str, str]) -> None:
    """The next cursor of a page is the one that led to it."""
    if "cursor" in query:
        page["meta"]["nextCursor"] = query["cursor"]


@_in_page(POSTMAN_LISTS)
def cursor_leads_nowhere(page: Json, query: dict[str, str]) -> None:
    """Every cursor leads to an empty page, which is the last."""
    if "cursor" in query:
        page["runs"] = []
        page["meta"].pop("nextCursor", None)


@_in_page(POSTMAN_LISTS)
def empty_page(page: Json, query: dict[str, str]) -> None:
    """A page to which a cursor led is empty, and announces neither a total nor a cursor."""
    if "cursor" in query:
        page["runs"], page["meta"] = [], {}


@_in_page(POSTMAN_LISTS)
def empty_page_with_total(page: Json, query: dict[str, str]) -> None:
    """A page to which a cursor led is empty and the last, and announces the total."""
    if "cursor" in query:
        page["runs"], page["meta"] = [], {"total": page["meta"]["total"]}


@_in_page(POSTMAN_LISTS)
def total_untold(page: Json, _query: dict[str, str]) -> None:
    """`meta` has no total."""
    page["meta"].pop("total", None)


@_in_page(POSTMAN_LISTS)
def cursor_half_a_character(page: Json, _query: dict[str, str]) -> None:
    """The next cursor holds half a character."""
    if "nextCursor" in page["meta"]:
        page["meta"]["nextCursor"] = "\ud83d"


@_in_page(POSTMAN_LISTS)
def cursor_of_a_megabyte(page: Json, _query: dict[str, str]) -> None:
    """The next cursor is 1 MB long."""
    if "nextCursor" in page["meta"]:
        page["meta"]["nextCursor"] = "c" * 1_000_000


@_in_page(POSTMAN_LISTS)
def meta_without_cursor(page: Json, _query: dict[str, str]) -> None:
    """`meta` has no nextCursor, on whatever page."""
    page["meta"].pop("nextCursor", None)


@_in_page(POSTMAN_LISTS)
def meta_null(page: Json, _query: dict[str, str]) -> None:
    """`meta` is null."""
    page["meta"] = None


@_in_page(POSTMAN_LISTS)
def meta_empty(page: Json, _query: dict[str, str]) -> None:
    """`meta` is an empty object."""
    page["meta"] = {}


@_in_page(TESTMO_LISTS)
def pages_never_end(page: Json, query: dict[str, str]) -> None:
    """Every page of Testmo's says that another follows."""
    page["next_page"] = int(query.get("page", 1)) + 1


def _cursor_status(status: int) -> Fault:
    def strike(exchange: Exchange, _strike: Strike) -> None:
        if "cursor" in exchange.query:
            exchange.answer = Answer(status, encode({"error": {"name": "cursorError"}}))

    return Fault(f"cursor-{status}", f"Cursors are answered with {status}.", POSTMAN_LISTS, strike)


FAULTS += [_cursor_status(status) for status in (404, 410, 414, 422, 500)]
