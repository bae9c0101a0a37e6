"""The services of this distribution, by name."""

from services.account.app import SERVICE as ACCOUNT
from services.opportunity.app import SERVICE as OPPORTUNITY
from shared.service.definition import Service

SERVICES: dict[str, Service] = {service.name: service for service in (ACCOUNT, OPPORTUNITY)}
