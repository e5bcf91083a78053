"""The page that the ``type`` of every problem leads to. No credential is needed."""

from __future__ import annotations

from litestar import MediaType, get

from services.gateway.openapi import PUBLIC
from services.gateway.problems import PAGE, page


@get(
    PAGE,
    operation_id="get_error_catalogue",
    summary="Show the error catalogue",
    description="What each error means and what to do about it, for people. The `type` of a "
    "problem is the address of its entry.",
    security=PUBLIC,
    tags=["Errors"],
    media_type=MediaType.HTML,
)
async def error_catalogue() -> str:
    """Show the page."""
    return page()
