"""What every answer tells a browser about itself."""

from typing import Any

POLICY = b"content-security-policy"

# Bytes are what their content type says, and their origin is told to no other site.
ALWAYS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]

# An answer is data: opened in a browser it loads nothing, runs nothing and stands in no page's frame.
DATA_ALONE = (POLICY, b"default-src 'none'; frame-ancestors 'none'")


def add_common_headers(headers: list[tuple[bytes, bytes]], request_id: str) -> None:
    """Add to an answer's headers what every answer has; a page that brings a policy of its own keeps that."""
    if POLICY not in [name for name, _ in headers]:
        headers.append(DATA_ALONE)
    headers += ALWAYS
    headers.append((b"x-request-id", request_id.encode()))


# What a page of this service may do: run its own files, show those and what was answered, and ask this service alone.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page_policy(*scripts: str) -> dict[str, str]:
    """The header for a page that runs the service's own files and the inline scripts with these SHA-256 in base64."""
    hashes = "".join(f" 'sha256-{script}'" for script in scripts)
    return {"Content-Security-Policy": PAGE_POLICY.format(scripts=hashes)}


# The playground makes no text into code, and its camera is for itself.
PLAYGROUND = {
    "Content-Security-Policy": PAGE_POLICY.format(scripts="")
    + "; require-trusted-types-for 'script'; trusted-types 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}

# What pages of other origins may send, beyond what every page may, and may read.
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
