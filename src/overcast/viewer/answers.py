"""What goes wrong between browser and server: one sentence, and the right status."""

from __future__ import annotations

from overcast.errors import BundleError, ConfigError, InputError, OvercastError, RadiometryError

PROBLEM = "application/problem+json"
"""RFC 9457."""


class RequestError(OvercastError):
    """A request that is not carried out; `status` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def status_of(error: BaseException) -> int:
    """The status of HTTP for an error; 500 for what is no one's mistake but ours.

    >>> status_of(RequestError(404, "there is no such map.")), status_of(InputError("damaged")), status_of(KeyError())
    (404, 422, 500)
    """
    if isinstance(error, RequestError):
        return error.status
    mendable = InputError | RadiometryError | ConfigError | BundleError
    return 422 if isinstance(error, mendable) else 500


def problem(status: int, sentence: str) -> dict[str, object]:
    """The body of an error."""
    return {"type": "about:blank", "status": status, "title": _TITLES.get(status, "error"), "detail": sentence}


_TITLES = {
    400: "bad request",
    401: "token needed",
    403: "forbidden",
    404: "not found",
    405: "method not allowed",
    409: "conflict",
    411: "length needed",
    413: "too large",
    414: "address too long",
    415: "kind not read",
    421: "another host",
    422: "cannot be used",
    429: "too many",
    500: "internal error",
    504: "too slow",
    507: "no space",
}
