"""The opportunity service over HTTP: routes and schemas by resource."""

from services.opportunity.api import changing, opening, processes

ROUTERS = (opening.router, changing.router, processes.router)
