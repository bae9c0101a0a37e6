"""Which roles may do what here."""

from fastapi import Depends

from shared.web.auth import needs

COMMANDING = ("seller", "manager", "executive", "operations", "integration")
MAY_COMMAND = Depends(needs(*COMMANDING))
MAY_READ = Depends(needs(*COMMANDING, "finance"))
MAY_DEFINE = Depends(needs("operations", "executive"))
