"""The list of read models."""

from importlib import import_module
from pkgutil import iter_modules

from services.opportunity import projections
from services.opportunity.projections import READ_MODELS
from shared.projections.definition import Projection
from shared.service.api_keys import api_keys


def test_every_read_model_is_folded_and_may_be_asked() -> None:
    modules = [import_module(f"{projections.__name__}.{one.name}") for one in iter_modules(projections.__path__)]
    written = {one.name for module in modules for one in vars(module).values() if isinstance(one, Projection)}
    shared = {api_keys.name}  # of every service
    assert written | shared == {one.name for one in READ_MODELS}, (
        "list it in services/opportunity/projections/__init__.py"
    )
