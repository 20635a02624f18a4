"""Headers that every answer carries for browsers."""

from typing import Any

POLICY = b"content-security-policy"

# A browser trusts the content type alone, and sends no referrer to other sites.
ALWAYS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]

# An answer is data: opened in a browser it loads nothing, runs nothing, and no page may frame it.
DATA_ALONE = (POLICY, b"default-src 'none'; frame-ancestors 'none'")


def add_common_headers(headers: list[tuple[bytes, bytes]], request_id: str) -> None:
    """Add the headers that every answer has; a page's own policy is kept."""
    if POLICY not in [name for name, _ in headers]:
        headers.append(DATA_ALONE)
    headers += ALWAYS
    headers.append((b"x-request-id", request_id.encode()))


# A page of this service may run its own files, show those and answers, and connect to this service alone.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page_policy(*scripts: str) -> dict[str, str]:
    """Return the policy header for a page that runs the service's files and inline scripts with these SHA-256."""
    hashes = "".join(f" 'sha256-{script}'" for script in scripts)
    return {"Content-Security-Policy": PAGE_POLICY.format(scripts=hashes)}


# The playground never turns text into code, and it alone may use the camera.
PLAYGROUND = {
    "Content-Security-Policy": PAGE_POLICY.format(scripts="")
    + "; require-trusted-types-for 'script'; trusted-types 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}

# Headers that pages of other origins may send and read, beyond those that browsers always allow.
CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": [
        "Authorization",
        "X-API-Key",
        "Content-Type",
        "X-Request-ID",
        "traceparent",
        "tracestate",
        "Inference-Header-Content-Length",
    ],
    "expose_headers": [
        "X-Request-ID",
        "Retry-After",
        "WWW-Authenticate",
        "RateLimit-Policy",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
        "Inference-Header-Content-Length",
    ],
}
