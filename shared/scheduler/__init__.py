"""Due dates: rows that become commands when their time has come."""

from shared.scheduler.due import DueItem, DueStatus, cancel, due_status, migrate_scheduler, schedule, set_due
from shared.scheduler.worker import DueHandler, DueRule, Scheduler

__all__ = [
    "DueHandler",
    "DueItem",
    "DueRule",
    "DueStatus",
    "Scheduler",
    "cancel",
    "due_status",
    "migrate_scheduler",
    "schedule",
    "set_due",
]
