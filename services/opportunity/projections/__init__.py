"""The opportunity service's read models, one a file; here all of them: what a worker folds and a question may ask."""

from services.opportunity.projections.deal_control import deal_control
from services.opportunity.projections.forecasts import forecasts
from services.opportunity.projections.gate_effects import gate_effects
from services.opportunity.projections.gates import gates
from services.opportunity.projections.organisation import organisation
from services.opportunity.projections.processes import processes
from services.opportunity.projections.rates import rates
from services.opportunity.projections.timeline import timeline
from shared.service.api_keys import api_keys

READ_MODELS = (timeline, processes, organisation, rates, deal_control, forecasts, gates, gate_effects, api_keys)
