"""The Postman side of an invented company: its collections, what they ask, when they run.

Only data, one request a line. Some URLs hold a user's password or an API key, as real ones do, so
that masking shows. `{{…}}` is filled in anew for each run.
"""

from typing import NamedTuple

OWNER_ID = "40817263"
ENVIRONMENTS = {
    "production": f"{OWNER_ID}-6f0f9c52-3a67-4f0e-9d0b-5f7f1c1f8a11",
    "staging": f"{OWNER_ID}-b21d7c04-8a35-4c2b-a7a4-02d4e3f6c9d5",
}
USERS = ("40817263", "40817299", "40911835")


class Call(NamedTuple):
    """One request of a collection.

    `url` is relative to the collection's unless it names a host; `checks` are the assertions that
    follow the one on the status code.
    """

    name: str
    method: str
    url: str
    median_ms: int
    size_bytes: int
    checks: tuple[str, ...] = ()
    status_code: int = 200

    @property
    def assertions(self) -> tuple[str, ...]:
        """The names of all its assertions, in order."""
        return (f"Status code is {self.status_code}", *self.checks)


class Trigger(NamedTuple):
    """What starts runs: at `times` (UTC) every day, and so many more on a workday."""

    source: str
    environment: str | None
    times: tuple[str, ...] = ()
    workday_runs: tuple[int, int] = (0, 0)


class Collection(NamedTuple):
    """A collection of the invented company; `iterations` is how often newman repeats it."""

    uid: str
    name: str
    base_url: str
    calls: tuple[Call, ...]
    triggers: tuple[Trigger, ...]
    iterations: int = 1


SHOP_CHECKOUT = Collection(
    f"{OWNER_ID}-0b7c1f7e-52d1-4c6c-9a5e-2f3d8f0f6b01",
    "Shop checkout",
    "https://shop.example.com/api/v2",
    (
        Call("Open session", "POST", "/sessions", 64, 412, ("Session ID is set",), 201),
        Call("List categories", "GET", "/categories", 41, 3_120, ("At least 5 categories",)),
        Call("List products", "GET", "/products?category=tents&page=1", 118, 18_400,
             ("Page holds 24 products", "Every product has a price")),
        Call("Get product", "GET", "/products/TEN-2041", 56, 2_860,
             ("Product is in stock", "Price has a currency")),
        Call("Get stock", "GET", "/products/TEN-2041/stock", 38, 240, ("Stock is a number",)),
        Call("Create cart", "POST", "/carts", 72, 380, ("Cart is empty",), 201),
        Call("Add to cart", "POST", "/carts/{{cartId}}/items", 83, 640,
             ("Cart holds 1 item", "Total equals the price"), 201),
        Call("Change quantity", "PATCH", "/carts/{{cartId}}/items/1", 77, 655,
             ("Total is doubled",)),
        Call("Apply voucher", "POST", "/carts/{{cartId}}/voucher", 91, 702,
             ("Discount is 10 %", "Total is not negative")),
        Call("Quote shipping", "GET", "/shipping/quotes?postcode=97231", 164, 1_310,
             ("At least one carrier", "Cheapest quote comes first")),
        Call("Set address", "PUT", "/carts/{{cartId}}/address", 69, 590,
             ("Address is echoed",)),
        Call("Place order", "POST", "/orders", 238, 1_870,
             ("Order has a number", "Order is pending", "Confirmation is queued"), 201),
        Call("Get order", "GET", "/orders/{{orderId}}", 88, 1_905,
             ("Order number matches",)),
        Call("Cancel order", "DELETE", "/orders/{{orderId}}", 96, 0, (), 204),
        Call("Close session", "DELETE", "/sessions/current", 35, 0, (), 204),
    ),
    (Trigger("monitor", "production", ("01:12", "07:12", "13:12", "19:12")),),
)  # fmt: skip

PAYMENTS = Collection(
    f"{OWNER_ID}-5d2a9e83-1c0f-4b7e-8f66-94b1c7a0de02",
    "Payments",
    "https://payments.example.com/v1",
    (
        Call("Get token", "POST", "/oauth/token", 58, 890, ("Token is a JWT",)),
        Call("List methods", "GET", "/methods?country=SE", 47, 1_240, ("Card is offered",)),
        Call("Authorise card", "POST", "/authorisations", 212, 1_020,
             ("Authorisation has an ID", "Amount is held", "Risk score is low"), 201),
        Call("Authorise with 3-D Secure", "POST", "/authorisations?challenge=required", 231,
             1_150, ("Challenge URL is https",), 202),
        Call("Decline bad card", "POST", "/authorisations?scenario=declined", 187, 480,
             ("Reason is insufficient_funds",), 402),
        Call("Capture", "POST", "/captures", 176, 860,
             ("Captured equals authorised", "State is captured"), 201),
        Call("Get payment", "GET", "/payments/{{paymentId}}", 63, 1_330,
             ("Payment ID matches",)),
        Call("List transactions", "GET", "/transactions?limit=50", 182, 24_600,
             ("At most 50 transactions", "Newest comes first")),
        Call("Refund in part", "POST", "/refunds", 158, 740, ("Refund is pending",), 201),
        Call("Get refund", "GET", "/refunds/{{refundId}}", 61, 745, ("Amount matches",)),
        Call("Get settlement report", "GET",
             "/reports/settlement?api_key=pk_9f27c1a4e0b8&format=json", 142, 9_800,
             ("Totals add up", "Currency is SEK")),
        Call("Health", "GET", "/health", 22, 64),
    ),
    (
        Trigger("schedule", "production", ("05:30", "11:30", "17:30")),
        Trigger("newman", "staging", workday_runs=(1, 2)),
    ),
)  # fmt: skip

SEARCH = Collection(
    f"{OWNER_ID}-c94e0a17-7f3b-4d28-b5d9-6a8e21f34c03",
    "Search",
    "https://search.example.com/v3",
    (
        Call("Search by word", "GET", "/search?q=tent", 74, 15_200,
             ("At least 10 hits", "Every hit has a title", "Took less than 500 ms")),
        Call("Search misspelt", "GET", "/search?q=tetn", 81, 14_800, ("Suggests tent",)),
        Call("Filter by price", "GET", "/search?q=tent&price=1000-3000&sort=price", 97,
             11_900, ("Prices lie in range", "Results are sorted by price")),
        Call("Filter by brand", "GET", "/search?q=stove&brand=lumme", 79, 6_300,
             ("Only the brand asked for",)),
        Call("Next page", "GET", "/search?q=tent&page=2", 83, 15_100,
             ("No hit of page 1 again",)),
        Call("Suggest", "GET", "/suggest?q=sle&api_key=fs-live-77aa20c3", 31, 620,
             ("At most 8 suggestions",)),
        Call("Search in Swedish", "GET", "/search?q=s%C3%A4ngkl%C3%A4der&lang=sv", 86, 9_400,
             ("Finds å, ä and ö",)),
        Call("Search for nothing", "GET", "/search?q=", 25, 160, ("Error names q",), 400),
    ),
    (
        Trigger("schedule", "production", ("04:05",)),
        Trigger("newman", "staging", workday_runs=(2, 5)),
    ),
    iterations=2,
)  # fmt: skip

ACCOUNTS = Collection(
    f"{OWNER_ID}-e31f5b68-0d94-4a1a-93c7-bb5d7c9e1d04",
    "Accounts",
    "https://accounts.example.com/api",
    (
        Call("Create account", "POST", "/accounts", 143, 910,
             ("Account has an ID", "Verification link is sent"), 201),
        Call("Refuse weak password", "POST", "/accounts?case=weak", 52, 330,
             ("Error names password",), 422),
        Call("Verify address", "GET", "/verify?token={{verifyToken}}", 77, 180,
             ("Account is verified",)),
        Call("Log in", "POST", "/login", 121, 1_040,
             ("Token is set", "Cookie is secure")),
        Call("Refuse wrong password", "POST", "/login?case=wrong", 118, 240, (), 401),
        Call("Get profile", "GET", "/me", 44, 870, ("Email matches",)),
        Call("Change name", "PATCH", "/me", 59, 880, ("Name is changed",)),
        Call("List orders", "GET", "/me/orders", 102, 7_200, ("Orders are mine",)),
        Call("List partner offers", "GET",
             "https://feed-reader:tr0ut-lake-9@partners.example.com/offers?token=pt-55e1c0",
             133, 4_450, ("At least one offer",)),
        Call("Log out", "POST", "/logout", 33, 0, (), 204),
        Call("Delete account", "DELETE", "/me", 127, 0, (), 204),
    ),
    (
        Trigger("schedule", "production", ("06:15",)),
        Trigger("newman", "staging", workday_runs=(1, 1)),
        Trigger("collection_runner", None, workday_runs=(0, 1)),
    ),
)  # fmt: skip

COLLECTIONS = (SHOP_CHECKOUT, PAYMENTS, SEARCH, ACCOUNTS)
