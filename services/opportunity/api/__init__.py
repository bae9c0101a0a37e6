"""The opportunity service over HTTP: routes and schemas by resource."""

from services.opportunity.api import (
    board,
    calendars,
    catalogue,
    changing,
    conversions,
    funnel,
    listing,
    opening,
    page,
    processes,
    words,
)

ROUTERS = (
    opening.router,
    listing.router,
    page.router,
    changing.router,
    board.router,
    funnel.router,
    conversions.router,
    processes.router,
    catalogue.router,
    calendars.router,
    words.router,
)
